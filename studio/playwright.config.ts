import { defineConfig } from '@playwright/test'
import { patience } from './tests/patience'

//! The browser is Debian's; the server is the program itself (scripts/studio_tests.sh says where it is).
export default defineConfig({
  testDir: 'tests',
  testMatch: '*.test.ts',
  timeout: 4 * patience,
  expect: { timeout: patience },
  // Each has a server and a browser of its own, and waits for them most of the time.
  workers: 2,
  fullyParallel: false,
  forbidOnly: !!process.env.CI,
  reporter: [['list']],
  outputDir: '../build/studio-tests',
  use: {
    browserName: 'chromium',
    locale: 'en-GB',
    viewport: { width: 1280, height: 800 },
    actionTimeout: patience,
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env.PRAX_CHROMIUM ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-dev-shm-usage'], // tests may run as root, in containers
    },
  },
})
