#pragma once

#include <cstdint>

namespace prax::models::cogvideox {

//! Tiles along one side of a picture and of its coded form, with the reference's roundings (towards zero).
struct TileAxis {
  int64_t tile, coded;  //!< length of a tile of the input, and of the output
  double overlap;       //!< share of a tile that lies over the one before

  //! From tile to tile of the input.
  int64_t step() const { return static_cast<int64_t>(static_cast<double>(tile) * (1 - overlap)); }
  //! Over which tiles of the output fade into each other.
  int64_t blend() const { return static_cast<int64_t>(static_cast<double>(coded) * overlap); }
  //! What is kept of a tile of the output.
  int64_t kept() const { return coded - blend(); }
  //! Length of the whole output for an input of `size` of which each element becomes `scale`: their product only where
  //! the steps line up with what is kept.
  int64_t joined(int64_t size, int64_t scale) const;
  //! The way back.
  TileAxis reversed() const { return {coded, tile, overlap}; }
};

}  // namespace prax::models::cogvideox
