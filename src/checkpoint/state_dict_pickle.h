#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace prax::checkpoint {

//! A tensor as a pickled state dict describes it: a view of a storage.
struct PickledTensor {
  DType dtype = DType::f32;
  Shape shape, strides;      //!< strides in elements
  int64_t offset = 0;        //!< of the first element in the storage
  std::string storage;       //!< the storage's key
  int64_t storage_size = 0;  //!< elements of the whole storage
};

//! Reads the pickle of a plain state dict as torch.save writes it (protocol 2): a dict or OrderedDict from names to
//! tensors. It is data only: of all that a pickle can call there are collections.OrderedDict,
//! torch._utils._rebuild_tensor_v2 and the names of torch's storages, and these are not called but understood. Anything
//! else is Error(checkpoint) that begins with the file's name `origin`. Every view lies inside of its storage and is no
//! larger than it.
std::map<std::string, PickledTensor> read_state_dict_pickle(std::string_view pickle, const std::string& origin);

}  // namespace prax::checkpoint
