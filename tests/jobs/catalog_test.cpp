#include <cmath>

#include "base/error.h"
#include "jobs/model_catalog.h"
#include "support.h"

namespace prax::jobs::test {
namespace {

//! A model like the published LTX-Video, without its files.
CatalogModel large_model() {
  CatalogModel model;
  model.name = "ltx-video";
  model.limits = {"LTX-Video", "LTXPipeline", 32, 8, 1, 257, 1280 * 720, false, 704, 512, 161, 25, true};
  return model;
}

TEST(Catalog, HoldsTheEmbeddedModelUnderTheApisNames) {
  const ModelCatalog catalog = ModelCatalog::embedded();
  const auto own = catalog.resolve("nano").value();
  EXPECT_FALSE(own.by_alias);
  EXPECT_EQ(own.model->limits.size_multiple, 16);
  EXPECT_EQ(own.model->limits.frame_group, 4);
  EXPECT_TRUE(own.model->limits.extends_clips);
  for (const char* name : {"sora-2", "sora-2-pro", "sora-2-2025-12-08"}) {
    const auto alias = catalog.resolve(name).value();
    EXPECT_TRUE(alias.by_alias);
    EXPECT_EQ(alias.model->name, "nano");
  }
  EXPECT_FALSE(catalog.resolve("sora-3"));
  EXPECT_EQ(catalog.nearest("sora2"), "sora-2");
  EXPECT_EQ(catalog.default_name(), "sora-2");
}

TEST(Catalog, RefusesWhatCannotBe) {
  ModelCatalog catalog = ModelCatalog::embedded();
  EXPECT_THROW(catalog.add("nano", "nano"), Error);
  EXPECT_THROW(catalog.add("a b", "nano"), Error);
  EXPECT_THROW(catalog.add("other", "/none"), Error);
  EXPECT_THROW(catalog.alias("x", "none"), Error);
  EXPECT_THROW(catalog.alias("nano", "nano"), Error);
  EXPECT_THROW(catalog.add_lora("ink", "/none"), Error);
  catalog.add("second", "nano", "f32");
  catalog.alias("sora-2", "second");
  EXPECT_EQ(catalog.resolve("sora-2")->model->name, "second");
}

TEST(Catalog, ExactShapesAreThoseOfTheModel) {
  const CatalogModel model = large_model();
  const Shape usual = ModelCatalog::exact(model, {});
  EXPECT_EQ(usual.width, 704);
  EXPECT_EQ(usual.frames, 161);
  const Shape four = ModelCatalog::exact(model, {768, 512, 4.0, {}, 24.0});
  EXPECT_EQ(four.frames, 97);
  EXPECT_EQ(four.seconds(), 4);
  const struct {
    WantedShape wanted;
    const char* hint;
  } wrong[] = {{{1000, 512, {}, {}, {}}, "992 or 1024"},
               {{{}, {}, {}, 100, {}}, "97 or 105"},
               {{1280, 768, {}, {}, {}}, "nearest is"},
               {{{}, {}, 12.0, {}, {}}, "257 frames"},
               {{-5, {}, {}, {}, {}}, ""},
               {{{}, {}, NAN, {}, {}}, ""}};
  for (const auto& each : wrong) {
    try {
      ModelCatalog::exact(model, each.wanted);
      ADD_FAILURE() << each.hint;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_NE(error.hint().find(each.hint), std::string::npos) << error.hint();
    }
  }
}

TEST(Catalog, SnappedShapesCanAlwaysBeMade) {
  const ModelCatalog catalog = ModelCatalog::embedded();
  for (const CatalogModel& model : {*catalog.find("nano"), large_model()})
    for (const auto& [width, height] : {std::pair{720, 1280},
                                        {1280, 720},
                                        {1024, 1792},
                                        {1792, 1024},
                                        {1920, 1080},
                                        {1, 1},
                                        {1, 5000},
                                        {65536, 65536},
                                        {100, 100},
                                        {33, 31}})
      for (const double seconds : {0.001, 1.0, 4.0, 8.0, 12.0, 20.0, 100000.0}) {
        const Shape shape = ModelCatalog::snapped(model, {width, height, seconds, {}, {}});
        const Shape same = ModelCatalog::exact(model, {shape.width, shape.height, {}, shape.frames, shape.fps});
        EXPECT_EQ(same.width, shape.width);
        if (width > 100 && width < 5000 && height < 5000) {
          const double aspect = std::log(static_cast<double>(width) / height * shape.height / shape.width);
          EXPECT_LT(std::abs(aspect), 0.3) << width << "x" << height << " -> " << shape.width << "x" << shape.height;
          EXPECT_GE(shape.width * shape.height, model.limits.most_pixels / 2);
        }
      }
  const Shape hd = ModelCatalog::snapped(large_model(), {1280, 720, 4.0, {}, 24.0});
  EXPECT_EQ(hd.frames, 97);
  EXPECT_EQ(hd.width, 1280);
  EXPECT_EQ(hd.height, 704);
}

TEST(Catalog, SecondsAreWrittenShortly) {
  EXPECT_EQ(seconds_text(4), "4");
  EXPECT_EQ(seconds_text(2.0833333), "2.08");
  EXPECT_EQ(seconds_text(4.5), "4.5");
  EXPECT_EQ(seconds_text(120), "120");
}

TEST(Settings, KnowEveryKey) {
  EXPECT_THROW(settings_from_json({{"stepps", 3}}), Error);
  EXPECT_THROW(settings_from_json({{"steps", "three"}}), Error);
  EXPECT_THROW(settings_from_json({{"conditions", {{{"input", "a"}, {"frames", 1}}}}}), Error);
  EXPECT_THROW(settings_from_json(nlohmann::json::array()), Error);
  Settings s;
  s.strength = 0.5;
  s.loop = true;
  s.video = "video";
  EXPECT_TRUE(settings_from_json(to_json(s)) == s);
}

}  // namespace
}  // namespace prax::jobs::test
