#include "checkpoint/state_dict_pickle.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace prax::checkpoint {

namespace {

constexpr size_t longest_pickle = 64 << 20;
constexpr size_t longest_line = 1024;  // of a GLOBAL
constexpr size_t most_dimensions = 16;

// Opcodes of protocol 2 that a state dict needs (Lib/pickle.py).
enum Opcode : uint8_t {
  MARK = '(',
  STOP = '.',
  BININT = 'J',
  BININT1 = 'K',
  BININT2 = 'M',
  NONE = 'N',
  BINPERSID = 'Q',
  REDUCE = 'R',
  BINUNICODE = 'X',
  EMPTY_LIST = ']',
  BUILD = 'b',
  GLOBAL = 'c',
  EMPTY_DICT = '}',
  BINGET = 'h',
  LONG_BINGET = 'j',
  BINPUT = 'q',
  LONG_BINPUT = 'r',
  SETITEM = 's',
  TUPLE = 't',
  EMPTY_TUPLE = ')',
  SETITEMS = 'u',
  PROTO = 0x80,
  TUPLE1 = 0x85,
  TUPLE2 = 0x86,
  TUPLE3 = 0x87,
  NEWTRUE = 0x88,
  NEWFALSE = 0x89,
  LONG1 = 0x8a,
};

//! What a pickle may name; a storage's name is its dtype.
struct Name {
  std::string_view module, name;
  bool is_storage;
  DType dtype;
};
constexpr std::array names{Name{"collections", "OrderedDict", false, DType::f32},
                           Name{"torch._utils", "_rebuild_tensor_v2", false, DType::f32},
                           Name{"torch", "FloatStorage", true, DType::f32},
                           Name{"torch", "HalfStorage", true, DType::f16},
                           Name{"torch", "BFloat16Storage", true, DType::bf16},
                           Name{"torch", "DoubleStorage", true, DType::f64},
                           Name{"torch", "LongStorage", true, DType::i64},
                           Name{"torch", "IntStorage", true, DType::i32},
                           Name{"torch", "ByteStorage", true, DType::u8},
                           Name{"torch", "BoolStorage", true, DType::boolean}};
constexpr size_t ordered_dict = 0, rebuild_tensor = 1;

//! A value on the stack. What has parts is a place in one of the machine's lists, so that no value owns another: depth
//! and cycles do no harm.
struct Value {
  enum class Kind : uint8_t { mark, none, boolean, integer, text, tuple, list, dict, name, storage, tensor };
  Kind kind = Kind::none;
  int64_t number = 0;  //!< the value of booleans and integers, else the place
  std::string_view text;
};
using Kind = Value::Kind;

struct Storage {
  DType dtype;
  std::string_view key;
  int64_t size;
};

class Machine {
public:
  Machine(std::string_view pickle, const std::string& origin) : pickle_(pickle), origin_(origin) {}

  std::map<std::string, PickledTensor> run() {
    if (pickle_.size() > longest_pickle) refuse("has a description of " + std::to_string(pickle_.size()) + " bytes");
    if (pickle_.size() < 2 || byte() != PROTO || byte() != 2) refuse("is not pickled by protocol 2");
    while (step()) {
    }
    if (at_ != pickle_.size()) broken();
    const Value root = pop();
    if (root.kind != Kind::dict || !stack_.empty()) refuse("is no dictionary of tensors");
    std::map<std::string, PickledTensor> tensors;
    for (const auto& [key, value] : dicts_[place(root)]) {
      if (key.kind != Kind::text) refuse("is no dictionary of tensors");
      if (value.kind != Kind::tensor)
        refuse("holds " + in_quotes(key.text) + ", which is no tensor; only plain state dicts are read");
      if (!tensors.emplace(std::string(key.text), tensors_[place(value)]).second)
        refuse("holds the tensor " + in_quotes(key.text) + " twice");
    }
    return tensors;
  }

private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorKind::checkpoint, origin_ + " " + what,
                "only a plain state dict is read from a PyTorch file, and no code in it; use safetensors");
  }
  [[noreturn]] void broken() const { refuse("has a broken description of its tensors"); }

  uint8_t byte() {
    if (at_ >= pickle_.size()) broken();
    return static_cast<uint8_t>(pickle_[at_++]);
  }
  template <typename T>
  T number() {
    if (pickle_.size() - at_ < sizeof(T)) broken();
    T value;
    std::memcpy(&value, pickle_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string_view text(size_t size) {
    if (pickle_.size() - at_ < size) broken();
    at_ += size;
    return pickle_.substr(at_ - size, size);
  }
  std::string_view line() {
    const size_t end = pickle_.substr(at_, longest_line).find('\n');
    if (end == std::string_view::npos) broken();
    return text(end + 1).substr(0, end);
  }

  void push(Kind kind, int64_t value = 0) { stack_.push_back({kind, value, {}}); }
  Value pop() {
    if (stack_.empty() || stack_.back().kind == Kind::mark) broken();
    const Value value = stack_.back();
    stack_.pop_back();
    return value;
  }
  const Value& top() const {
    if (stack_.empty() || stack_.back().kind == Kind::mark) broken();
    return stack_.back();
  }
  std::vector<Value> pop_to_mark() {
    size_t begin = stack_.size();
    while (begin > 0 && stack_[begin - 1].kind != Kind::mark) --begin;
    if (begin == 0) broken();
    std::vector<Value> values(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin - 1);
    return values;
  }
  void push_tuple(std::vector<Value> values) {
    tuples_.push_back(std::move(values));
    push(Kind::tuple, static_cast<int64_t>(tuples_.size()) - 1);
  }
  void push_last(size_t count) {
    std::vector<Value> values(count);
    while (count-- > 0) values[count] = pop();
    push_tuple(std::move(values));
  }
  void push_dict() {
    dicts_.emplace_back();
    push(Kind::dict, static_cast<int64_t>(dicts_.size()) - 1);
  }
  void remember(uint32_t slot) { memo_[slot] = top(); }
  void recall(uint32_t slot) {
    const auto it = memo_.find(slot);
    if (it == memo_.end()) broken();
    stack_.push_back(it->second);
  }
  static size_t place(const Value& value) { return static_cast<size_t>(value.number); }

  void set_items(const std::vector<Value>& values) {
    if (values.size() % 2 != 0 || top().kind != Kind::dict) broken();
    auto& dict = dicts_[place(top())];
    for (size_t i = 0; i < values.size(); i += 2) dict.emplace_back(values[i], values[i + 1]);
  }

  //! Executes one opcode; false after STOP.
  bool step() {
    const uint8_t opcode = byte();
    switch (opcode) {
      case STOP:
        return false;
      case MARK:
        push(Kind::mark);
        break;
      case NONE:
        push(Kind::none);
        break;
      case NEWTRUE:
        push(Kind::boolean, 1);
        break;
      case NEWFALSE:
        push(Kind::boolean, 0);
        break;
      case BININT:
        push(Kind::integer, number<int32_t>());
        break;
      case BININT1:
        push(Kind::integer, byte());
        break;
      case BININT2:
        push(Kind::integer, number<uint16_t>());
        break;
      case LONG1:
        push_long();
        break;
      case BINUNICODE: {
        const std::string_view value = text(number<uint32_t>());
        stack_.push_back({Kind::text, 0, value});
        break;
      }
      case EMPTY_TUPLE:
        push_tuple({});
        break;
      case TUPLE1:
        push_last(1);
        break;
      case TUPLE2:
        push_last(2);
        break;
      case TUPLE3:
        push_last(3);
        break;
      case TUPLE:
        push_tuple(pop_to_mark());
        break;
      case EMPTY_LIST:
        push(Kind::list);
        break;
      case EMPTY_DICT:
        push_dict();
        break;
      case SETITEM: {
        const Value value = pop(), key = pop();
        set_items({key, value});
        break;
      }
      case SETITEMS:
        set_items(pop_to_mark());
        break;
      case BINPUT:
        remember(byte());
        break;
      case LONG_BINPUT:
        remember(number<uint32_t>());
        break;
      case BINGET:
        recall(byte());
        break;
      case LONG_BINGET:
        recall(number<uint32_t>());
        break;
      case GLOBAL:
        push_name();
        break;
      case BINPERSID:
        push_storage();
        break;
      case REDUCE:
        reduce();
        break;
      // An OrderedDict's attributes: a state dict keeps the versions of its modules there, which nobody needs.
      case BUILD:
        if (pop().kind != Kind::dict || top().kind != Kind::dict) broken();
        break;
      default:
        refuse("has the opcode " + std::to_string(opcode) + " in its description, which no plain state dict has");
    }
    return true;
  }

  void push_long() {
    const uint8_t size = byte();
    if (size > sizeof(int64_t)) broken();
    uint64_t value = 0;
    bool negative = false;
    for (size_t i = 0; i < size; ++i) {
      const uint8_t b = byte();
      value |= uint64_t{b} << (8 * i);
      negative = b & 0x80;
    }
    if (negative && size < sizeof(int64_t)) value |= ~uint64_t{0} << (8 * size);
    push(Kind::integer, static_cast<int64_t>(value));
  }

  void push_name() {
    const std::string_view module = line(), name = line();
    for (size_t i = 0; i < names.size(); ++i)
      if (names[i].module == module && names[i].name == name) return push(Kind::name, static_cast<int64_t>(i));
    refuse("names " + in_quotes(std::string(module) + "." + std::string(name)) +
           ", which is no part of a plain state dict");
  }

  //! ("storage", type, key, location, elements)
  void push_storage() {
    const Value id = pop();
    if (id.kind != Kind::tuple) broken();
    const std::vector<Value>& parts = tuples_[place(id)];
    if (parts.size() != 5 || parts[0].kind != Kind::text || parts[0].text != "storage" || parts[1].kind != Kind::name ||
        !names[place(parts[1])].is_storage || parts[2].kind != Kind::text || parts[3].kind != Kind::text ||
        parts[4].kind != Kind::integer || parts[4].number < 0)
      broken();
    storages_.push_back({names[place(parts[1])].dtype, parts[2].text, parts[4].number});
    push(Kind::storage, static_cast<int64_t>(storages_.size()) - 1);
  }

  void reduce() {
    const Value arguments = pop(), callee = pop();
    if (arguments.kind != Kind::tuple || callee.kind != Kind::name) broken();
    const std::vector<Value>& parts = tuples_[place(arguments)];
    if (callee.number == ordered_dict && parts.empty()) return push_dict();
    if (callee.number != rebuild_tensor) broken();
    rebuild(parts);
  }

  Shape extents(const Value& value) const {
    if (value.kind != Kind::tuple || tuples_[place(value)].size() > most_dimensions) broken();
    Shape shape;
    for (const Value& part : tuples_[place(value)]) {
      if (part.kind != Kind::integer || part.number < 0) broken();
      shape.push_back(part.number);
    }
    return shape;
  }

  //! Whether the view's last element and its number of elements lie within the storage.
  static bool fits(const PickledTensor& t) {
    const auto limit = static_cast<uint64_t>(t.storage_size);
    uint64_t last = static_cast<uint64_t>(t.offset), count = 1;
    if (std::find(t.shape.begin(), t.shape.end(), 0) != t.shape.end()) return t.shape.size() == 1;
    if (last >= limit) return false;
    for (size_t i = 0; i < t.shape.size(); ++i) {
      const auto extent = static_cast<uint64_t>(t.shape[i]), stride = static_cast<uint64_t>(t.strides[i]);
      if (stride > 0 && extent - 1 > (limit - 1 - last) / stride) return false;
      if (extent > limit / count) return false;
      last += (extent - 1) * stride;
      count *= extent;
    }
    return true;
  }

  //! _rebuild_tensor_v2(storage, offset, size, strides, requires_grad, backward_hooks)
  void rebuild(const std::vector<Value>& parts) {
    if (parts.size() != 6 || parts[0].kind != Kind::storage || parts[1].kind != Kind::integer ||
        parts[4].kind != Kind::boolean || parts[5].kind != Kind::dict || !dicts_[place(parts[5])].empty())
      broken();
    const Storage& storage = storages_[place(parts[0])];
    PickledTensor t;
    t.dtype = storage.dtype;
    t.storage = storage.key;
    t.storage_size = storage.size;
    t.offset = parts[1].number;
    t.shape = extents(parts[2]);
    t.strides = extents(parts[3]);
    if (t.shape.size() != t.strides.size() || t.offset < 0) broken();
    if (!fits(t)) refuse("describes a tensor that is larger than its data");
    tensors_.push_back(std::move(t));
    push(Kind::tensor, static_cast<int64_t>(tensors_.size()) - 1);
  }

  std::string_view pickle_;
  std::string origin_;
  size_t at_ = 0;
  std::vector<Value> stack_;
  std::unordered_map<uint32_t, Value> memo_;
  std::vector<std::vector<Value>> tuples_;
  std::vector<std::vector<std::pair<Value, Value>>> dicts_;
  std::vector<Storage> storages_;
  std::vector<PickledTensor> tensors_;
};

}  // namespace

std::map<std::string, PickledTensor> read_state_dict_pickle(std::string_view pickle, const std::string& origin) {
  return Machine(pickle, origin).run();
}

}  // namespace prax::checkpoint
