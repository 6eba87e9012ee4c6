# The whole house from a bare Debian 12: `make demo` and `make test` install what is missing, build and run.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

JOBS ?= $(shell scripts/jobs.sh)
PREFIX ?= /usr/local
CTEST_OPTIONS ?=
# Of asan and tsan: some rooms alone ("media http"); all when empty.
ROOMS ?=
empty :=
space := $(empty) $(empty)

PROMPT ?= a red balloon rises over the sea at sunset
OUT ?= demo.mp4

PRAX := build/release/apps/prax/prax
STEP := scripts/step.sh
CORES = $(JOBS) $(if $(filter 1,$(JOBS)),core,cores)

.PHONY: help demo build program studio test asan tsan tsan-api fmt lint install clean packages test-packages dev-packages studio-packages

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: program ## build prax and generate demo.mp4 with the embedded model
	@$(STEP) 'generating "$(PROMPT)"' - $(PRAX) generate "$(PROMPT)" -o "$(OUT)"
	@echo "    $(OUT) plays in any player; $(PRAX) --help says what else there is"

build: program studio ## build the program and the studio

program: packages ## build the program alone
	@$(STEP) "configuring" build/logs/configure-release.log cmake --preset release -DPRAX_TESTS=OFF
	@$(STEP) "building prax on $(CORES) (a few minutes the first time)" build/logs/build-release.log \
	  cmake --build --preset release --target prax -j $(JOBS)

studio: studio-packages ## build the pages that `prax serve` shows in a browser
	@$(STEP) "building the studio" build/logs/build-studio.log scripts/build_studio.sh

test: packages test-packages studio-packages studio ## build everything and run the tests
	@$(STEP) "configuring" build/logs/configure-release.log cmake --preset release -DPRAX_TESTS=ON
	@$(STEP) "building prax and the tests on $(CORES) (several minutes the first time)" build/logs/build-release.log \
	  cmake --build --preset release -j $(JOBS)
	@scripts/test.sh release $(JOBS) $(CTEST_OPTIONS)

asan tsan: packages test-packages
	@$(STEP) "configuring for $@" build/logs/configure-$@.log cmake --preset $@ -DPRAX_TESTS=ON
	@$(STEP) "building the tests with $@ on $(CORES) (several minutes the first time)" build/logs/build-$@.log \
	  cmake --build --preset $@ -j $(JOBS) $(if $(ROOMS),--target $(addprefix test_,$(ROOMS)))
	@scripts/test.sh $@ $(JOBS) $(if $(ROOMS),-L '^($(subst $(space),|,$(strip $(ROOMS))))$$') $(CTEST_OPTIONS)

asan: ## run the tests under AddressSanitizer and UndefinedBehaviorSanitizer
tsan: ## run the tests under ThreadSanitizer

tsan-api: packages test-packages studio ## run the server's tests against a program under ThreadSanitizer (half an hour)
	@$(STEP) "configuring for tsan" build/logs/configure-tsan.log cmake --preset tsan -DPRAX_TESTS=ON
	@$(STEP) "building prax with tsan on $(CORES) (several minutes the first time)" build/logs/build-tsan.log \
	  cmake --build --preset tsan --target prax -j $(JOBS)
	@$(STEP) "running the server's tests" build/logs/test-tsan-api.log scripts/api_tsan.sh build/tsan/apps/prax/prax

fmt: dev-packages ## format every C++ file
	@$(STEP) "formatting" - scripts/format.sh

lint: packages dev-packages ## check formatting, scripts and clang-tidy's rules
	@$(STEP) "checking the formatting" build/logs/format.log scripts/format.sh --check
	@$(STEP) "checking the scripts" build/logs/shellcheck.log shellcheck -x scripts/*.sh tests/house/*.sh .ci/run
	@$(STEP) "configuring" build/logs/configure-lint.log cmake --preset lint -DPRAX_TESTS=ON
	@$(STEP) "checking with clang-tidy on $(CORES) (many minutes)" build/logs/clang-tidy.log \
	  run-clang-tidy -quiet -p build/lint -j $(JOBS) "$(CURDIR)/(src|apps)/"

install: build ## install prax, its model and its documents under PREFIX (default /usr/local)
	@$(STEP) "installing to $(DESTDIR)$(PREFIX)" build/logs/install.log cmake --install build/release --prefix "$(PREFIX)"

clean: ## remove all that was built
	rm -rf build studio/dist studio/node_modules

packages:
	@scripts/install_packages.sh scripts/packages.txt

test-packages:
	@scripts/install_packages.sh scripts/packages-test.txt

studio-packages: # Node from elsewhere is as good; the tests of the API need it, too
	@command -v npm >/dev/null || scripts/install_packages.sh scripts/packages-studio.txt

dev-packages:
	@scripts/install_packages.sh scripts/packages-dev.txt
