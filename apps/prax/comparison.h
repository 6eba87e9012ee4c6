#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace prax::app {

enum class Verdict {
  pass,
  fail,
  not_checked,  //!< recorded, but nothing here computes it: counts against the case
  info          //!< shown for people, without a limit
};

//! How far a tensor is from the recorded one. Not-a-number where it says nothing.
struct Difference {
  bool same_shape = true;
  double max_error = NAN;  //!< largest absolute difference; infinity where only one is finite
  double relative = NAN;   //!< max_error over the largest magnitude of the recorded one (max_error where that is 0)
  double cosine = NAN;     //!< of the angle between the two as vectors
  int64_t ulps = 0;        //!< largest distance in units of the last place of f32; for floating tensors only
};
Difference difference(const Tensor& got, const Tensor& want);

//! Peak signal-to-noise ratio of pictures in 0..1 in dB: -10 log10(mean squared error); infinity for equal ones,
//! -infinity when the shapes differ.
double psnr(const Tensor& got, const Tensor& want);

//! One line of the report.
struct Check {
  std::string name;
  Shape shape;
  Difference difference;
  Verdict verdict = Verdict::not_checked;
  std::string note;
};

//! When a tensor passes.
enum class Limit {
  exact,     //!< equal in every element
  one_ulp,   //!< at most one unit of the last place apart
  relative,  //!< relative difference at most 1e-3
  cosine,    //!< cosine at least 0.9995
  near,      //!< cosine at least 0.99: what int8 leaves of a denoiser's answer
  none       //!< only shown
};
Check check(const std::string& name, const Tensor& got, const Tensor& want, Limit limit);
Check not_checked(const std::string& name, const Shape& shape, const std::string& why);

}  // namespace prax::app
