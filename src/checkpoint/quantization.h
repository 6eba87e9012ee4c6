#pragma once

#include <map>
#include <string>

//! How weights are stored as int8: "x.weight" I8 [out, ...], and beside it "x.weight_scale" F32 [out]. Row i of the
//! weight is weight_scale[i] * weight[i]. The file's metadata says that this was done, and by which version of the
//! rule.
namespace prax::checkpoint {

//! "block.weight" -> "block.weight_scale", and back.
std::string scale_name(const std::string& weight);
std::string scaled_name(const std::string& scale);

//! What the metadata of such a file says.
std::map<std::string, std::string> quantization_metadata();

//! Error(checkpoint) when the metadata of the file `origin` names a quantization, or a version of it, that this program
//! does not know.
void require_known_quantization(const std::map<std::string, std::string>& metadata, const std::string& origin);

}  // namespace prax::checkpoint
