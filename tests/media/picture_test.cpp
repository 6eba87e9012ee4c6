#include "media/picture.h"

#include <algorithm>
#include <cstdlib>

#include "media/image.h"
#include "media/input.h"
#include "pattern.h"
#include "support.h"

namespace prax::media {
namespace {

using PictureTest = MediaTest;

struct Sample {
  const char* name;
  int width, height;
  uint64_t hash;
};

// Hashes of what Pillow reads (transparency over white, grey in 16 bits by its high byte), by
// tests/data/pictures/make.py.
const Sample exact[] = {
    {"rgb.png", 21, 14, 0x33e800e922a0e8aau},     {"interlaced.png", 21, 14, 0x33e800e922a0e8aau},
    {"rgb16.png", 21, 14, 0x33e800e922a0e8aau},   {"grey16.png", 21, 14, 0xac03afafa664209du},
    {"keyed.png", 21, 14, 0xe8071f322fe9c7e7u},   {"grey.png", 21, 14, 0x018035af560b715fu},
    {"palette.png", 21, 14, 0xb6e9dfc194a4251du}, {"bits.png", 21, 14, 0xbed29b32f0b97fcfu},
    {"rgba.png", 21, 14, 0xe95d9879d10aa03fu},    {"grey_alpha.png", 21, 14, 0x281d26c23a3cd4bfu},
    {"lossy.webp", 21, 14, 0xca2b1be2fe861c1bu},  {"lossless.webp", 21, 14, 0x33e800e922a0e8aau},
    {"alpha.webp", 21, 14, 0x5fbb591d8257cfccu},  {"still.gif", 21, 14, 0xb45c1761da86d480u},
    {"rgb.bmp", 21, 14, 0x33e800e922a0e8aau},     {"rgb.tiff", 21, 14, 0x33e800e922a0e8aau},
    {"rgb.ppm", 21, 14, 0x33e800e922a0e8aau},     {"turned.png", 14, 21, 0x4da4f81603e68d3au},
    {"turned.webp", 14, 21, 0x4da4f81603e68d3au}, {"turned.tiff", 14, 21, 0x4da4f81603e68d3au},
};

TEST_F(PictureTest, EqualsPillow) {
  for (const Sample& s : exact) {
    const Picture picture = read_picture(sample(s.name));
    EXPECT_EQ(picture.width, s.width) << s.name;
    EXPECT_EQ(picture.height, s.height) << s.name;
    EXPECT_EQ(hash(picture), s.hash) << s.name;
  }
}

TEST_F(PictureTest, NobodyUnpacksThePackedTextsOfAPng) {
  const std::string png = file_bytes(sample("rgb.png"));
  constexpr size_t header_end = 8 + 12 + 13;
  for (const char* type : {"zTXt", "iTXt", "tEXt", "iCCP"}) {
    // Broken as it is, it would be refused by who looks into it.
    const std::string chunk = std::string("\0\0\0\4", 4) + type + "abcd" + "!!!!";
    const std::string with = png.substr(0, header_end) + chunk + png.substr(header_end);
    const Picture picture = decode_picture({reinterpret_cast<const uint8_t*>(with.data()), with.size()}, type);
    EXPECT_EQ(hash(picture), 0x33e800e922a0e8aau) << type;
  }
}

struct Near {
  const char* name;
  std::vector<int> values;
};

// Every tenth value of Pillow's. The inverse transform's rounding may differ.
const Near jpegs[] = {
    {"444.jpg",
     {135, 240, 173, 190, 239, 210, 20,  235, 234, 210, 234, 124, 17,  237, 203, 225, 233, 40,  18,  240, 97,  226, 226,
      28,  23,  196, 21,  233, 219, 117, 23,  170, 47,  237, 218, 218, 34,  148, 140, 236, 215, 232, 49,  129, 63,  232,
      213, 155, 64,  111, 26,  226, 218, 52,  77,  98,  67,  214, 220, 14,  94,  88,  165, 202, 225, 81,  115, 82,  235,
      69,  231, 178, 136, 78,  214, 60,  236, 236, 149, 76,  118, 45,  237, 201, 169, 83,  27,  33,  53}},
    {"422.jpg",
     {143, 240, 170, 192, 237, 194, 17,  238, 224, 208, 235, 120, 19,  236, 196, 220, 232, 38,  22,  233, 104, 229, 226,
      37,  23,  196, 36,  232, 220, 117, 24,  169, 49,  235, 219, 209, 36,  147, 113, 233, 214, 219, 49,  126, 58,  229,
      214, 148, 64,  111, 23,  221, 214, 59,  80,  97,  69,  216, 221, 26,  94,  88,  154, 215, 230, 90,  110, 81,  226,
      63,  232, 182, 136, 76,  205, 57,  235, 229, 153, 75,  113, 45,  234, 197, 172, 80,  30,  33,  53}},
    {"420.jpg",
     {146, 240, 184, 194, 239, 194, 10,  238, 215, 207, 232, 129, 21,  235, 184, 219, 228, 48,  25,  233, 106, 229, 226,
      46,  23,  198, 45,  235, 224, 117, 23,  171, 57,  240, 221, 195, 34,  144, 115, 238, 211, 218, 48,  125, 65,  229,
      208, 166, 67,  109, 28,  222, 214, 77,  84,  98,  67,  215, 220, 40,  99,  89,  154, 213, 231, 86,  112, 81,  216,
      59,  235, 171, 130, 76,  189, 53,  238, 222, 149, 77,  107, 44,  234, 206, 173, 87,  44,  28,  52}},
    {"progressive.jpg",
     {145, 241, 174, 192, 241, 193, 25,  239, 215, 213, 233, 122, 32,  236, 197, 227, 228, 44,  24,  233, 119, 235, 224,
      54,  15,  199, 52,  234, 222, 126, 20,  174, 53,  230, 222, 199, 35,  147, 109, 225, 217, 208, 50,  121, 57,  225,
      214, 149, 69,  104, 30,  224, 217, 72,  80,  94,  69,  217, 220, 56,  94,  89,  153, 208, 232, 108, 109, 83,  205,
      50,  237, 189, 131, 77,  181, 49,  236, 232, 151, 79,  106, 41,  233, 216, 179, 87,  42,  25,  50}},
    {"grey.jpg",
     {194, 227, 230, 200, 183, 176, 166, 215, 236, 211, 181, 169, 168, 196, 230, 226, 188, 158, 158, 188, 216, 231, 202,
      159, 138, 148, 204, 225, 213, 169, 121, 124, 201, 215, 213, 180, 117, 98,  209, 209, 204, 184, 121, 83,  79,  211,
      196, 181, 131, 82,  59,  224, 203, 172, 129, 88,  52,  229, 213, 173, 124, 88,  53,  226, 227, 184, 115, 80,  58,
      42,  232, 207, 121, 70,  51,  49,  223, 219, 136, 69,  40,  50,  212, 221, 161, 82,  32,  44,  84}},
    {"cmyk.jpg",
     {129, 238, 174, 193, 238, 213, 24,  238, 236, 208, 235, 117, 18,  237, 200, 220, 231, 31,  19,  238, 97,  228, 225,
      29,  20,  195, 21,  233, 221, 114, 27,  170, 42,  237, 218, 213, 35,  147, 139, 237, 215, 232, 47,  129, 70,  231,
      215, 158, 61,  111, 21,  225, 218, 55,  77,  97,  62,  216, 221, 16,  95,  88,  162, 205, 227, 78,  114, 82,  235,
      73,  231, 186, 134, 79,  204, 57,  235, 235, 151, 77,  112, 45,  239, 194, 171, 83,  26,  31,  53}},
};

TEST_F(PictureTest, JpegsAreWithinRounding) {
  for (const Near& s : jpegs) {
    const Picture picture = read_picture(sample(s.name));
    ASSERT_EQ((picture.rgb.size() + 9) / 10, s.values.size()) << s.name;
    int sum = 0;
    for (size_t i = 0; i < s.values.size(); ++i) {
      const int difference = std::abs(picture.rgb[10 * i] - s.values[i]);
      EXPECT_LE(difference, 3) << s.name << " " << 10 * i;
      sum += difference;
    }
    EXPECT_LT(sum, static_cast<int>(s.values.size()) / 8) << s.name;
  }
}

TEST_F(PictureTest, EveryExifOrientation) {
  // The upright picture of orientation 1 has red, green and black in its upper row, black, black and blue below.
  const std::string bytes = bytes_of(sample("turned.jpg"));
  const size_t entry = bytes.find(std::string("\x01\x12\x00\x03", 4));
  const size_t little_entry = bytes.find(std::string("\x12\x01\x03\x00", 4));
  ASSERT_TRUE(entry != std::string::npos || little_entry != std::string::npos);
  const size_t value = entry != std::string::npos ? entry + 9 : little_entry + 8;
  ASSERT_EQ(bytes.at(value), 6);
  const std::string wanted[] = {"",         "RG.,..B",  ".GR,B..",  "B..,.GR", "..B,RG.",
                                "R.,G.,.B", ".R,.G,B.", "B.,.G,.R", ".B,G.,R."};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    std::string turned = bytes;
    turned[value] = static_cast<char>(orientation);
    put_bytes(at("turned.jpg"), turned);
    const Picture picture = read_picture(at("turned.jpg"));
    std::string seen;
    for (int y = 4; y < picture.height; y += 8) {
      if (y > 4) seen += ',';
      for (int x = 4; x < picture.width; x += 8) {
        const uint8_t* pixel = picture.row(y) + x * 3;
        const auto brightest = std::max_element(pixel, pixel + 3) - pixel;
        seen += pixel[brightest] < 100 ? '.' : "RGB"[brightest];
      }
    }
    EXPECT_EQ(seen, wanted[orientation]) << orientation;
  }
}

TEST_F(PictureTest, MovingOnesGiveTheirFirstFrame) {
  const Picture webp = read_picture(sample("moving.webp"));
  EXPECT_EQ(webp.width, 30);
  EXPECT_EQ(hash(webp), 0xbf53ea83e98d358bu);
  EXPECT_EQ(read_picture(sample("moving.gif")).height, 20);
  write_smooth(at("a.mp4"), {64, 48, 3, 24});
  const Picture frame = read_picture(at("a.mp4"));
  EXPECT_EQ(frame.width, 64);
  EXPECT_NEAR(frame.rgb[0], 255 * smooth_frame(64, 48, 0)[0], 6);
}

TEST_F(PictureTest, FromMemory) {
  for (const char* name : {"rgb.png", "lossy.webp", "420.jpg", "rgb.bmp", "rgb.tiff", "still.gif"}) {
    const std::string bytes = bytes_of(sample(name));
    EXPECT_EQ(decode_picture({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, name),
              read_picture(sample(name)))
        << name;
  }
}

TEST_F(PictureTest, SaysWhatIsWrong) {
  expect_error(ErrorKind::io, "cannot be opened", [&] { read_picture(at("none.png")); });
  expect_error(ErrorKind::io, "a folder", [&] { read_picture(folder_); });
  put_bytes(at("empty.png"), "");
  expect_error(ErrorKind::input, "the file is empty", [&] { read_picture(at("empty.png")); });
  put_bytes(at("text.png"), "Dear diary, no picture today \xe2\x80\x94 none.\n");
  expect_error(ErrorKind::input, "it is a text", [&] { read_picture(at("text.png")); });
  put_bytes(at("noise.png"), std::string(500, '\x93'));
  expect_error(ErrorKind::input, "not known here", [&] { read_picture(at("noise.png")); });
}

TEST_F(PictureTest, SoundIsNoPicture) {
  // RIFF/WAVE, 8000 Hz, one channel of 8 bits.
  std::string wave("RIFF\xe4\x03\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\xc0\x03\0\0", 44);
  wave += std::string(960, '\x80');
  put_bytes(at("a.wav"), wave);
  expect_error(ErrorKind::input, "only sound", [&] { read_picture(at("a.wav")); });
}

TEST_F(PictureTest, CutFilesAreRefused) {
  for (const char* name : {"rgb.png", "palette.png", "420.jpg", "progressive.jpg", "lossy.webp", "lossless.webp",
                           "alpha.webp", "moving.webp"}) {
    const std::string bytes = bytes_of(sample(name));
    for (size_t size = 1; size + 3 < bytes.size(); size += 1 + bytes.size() / 25) {
      put_bytes(at("cut"), bytes.substr(0, size));
      expect_error(ErrorKind::input, "cut cannot be read as a picture", [&] { read_picture(at("cut")); });
    }
  }
}

TEST_F(PictureTest, DamagedPngIsRefused) {
  std::string bytes = bytes_of(sample("rgb.png"));
  bytes.at(bytes.size() / 2) = static_cast<char>(bytes.at(bytes.size() / 2) ^ 0x10);
  put_bytes(at("a.png"), bytes);
  expect_error(ErrorKind::input, "damaged", [&] { read_picture(at("a.png")); });
}

TEST_F(PictureTest, TooLargeIsRefusedBeforeItIsDecoded) {
  std::string bytes = bytes_of(sample("rgb.png"));
  bytes.replace(16, 4, std::string("\0\0\x40\1", 4));
  put_bytes(at("a.png"), bytes);
  expect_error(ErrorKind::input, "16385x14", [&] { read_picture(at("a.png")); });
  std::string jpeg = bytes_of(sample("420.jpg"));
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xff\xff\xff");
  put_bytes(at("a.jpg"), jpeg);
  expect_error(ErrorKind::input, "65535x65535", [&] { read_picture(at("a.jpg")); });
}

// A list inside of a file must not open other files, neither beside it nor in the working folder.
TEST_F(PictureTest, PlaylistsReachNothing) {
  write_smooth(at("a.mp4"), {64, 48, 3, 24});
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder_);
  put_bytes("list", "ffconcat version 1.0\nfile a.mp4\n");
  put_bytes("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\na.mp4\n#EXT-X-ENDLIST\n");
  for (const char* name : {"list", "list.m3u8"}) {
    expect_error(ErrorKind::input, "it is a text", [&] { read_picture(name); });
  }
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace prax::media
