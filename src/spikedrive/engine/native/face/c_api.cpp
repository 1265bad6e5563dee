// What spikedrive.h declares, over the engine: nothing is thrown across it.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "../engine.hpp"
#include "../file/json.hpp"
#include "../file/sdx.hpp"
#include "../views.hpp"
#include "spikedrive.h"

using namespace spikedrive::engine;

struct spikedrive_program {
  Engine engine;
  int input, answer;
  std::vector<std::string> names;

  const Value& value(int place) const { return engine.program().values[place]; }
};

namespace {

// libgomp ends the process where the system gives it no more threads
constexpr int most_threads = 256;

struct Message {
  char* to;
  size_t room;

  void say(const char* text) const noexcept {
    if (!to || !room) return;
    size_t size = std::min(std::strlen(text), room - 1);
    // no part of a character
    while (size && (static_cast<uint8_t>(text[size]) & 0xc0) == 0x80) --size;
    std::memcpy(to, text, size);
    to[size] = 0;
  }
};

// What `work` gives, or `failed` and the message of what it threw.
template <class Result, class Work>
Result guarded(char* to, size_t room, Result failed, const Work& work) noexcept {
  const Message message{to, room};
  message.say("");
  try {
    return work();
  } catch (const std::bad_alloc&) {
    message.say("spikedrive got no memory from the system; a program needs room for its weights and for the tensors of a "
                "batch. Run fewer samples at a time.");
  } catch (const std::system_error& error) {
    message.say(error.what());
  } catch (const std::exception& error) {
    message.say(error.what());
  } catch (...) {
    message.say("spikedrive failed for a reason without words; whole files and arguments as in spikedrive.h are "
                "accepted. Report it.");
  }
  return failed;
}

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

int only_input(const Program& program) {
  int found = -1, count = 0;
  for (size_t i = 0; i < program.ops.size(); ++i)
    if (program.ops[i].kind == Kind::Input) found = static_cast<int>(i), ++count;
  const bool answers = count == 1 && program.values.back().steps == 1 && program.values.back().shape.size() == 1;
  if (!answers)
    refuse("The .sdx program has " + std::to_string(count) + " inputs, or no logits at its end; it takes one input and "
           "ends with one axis of logits at one step. Compile the model again.");
  return found;
}

std::vector<std::string> class_names(const Program& program) {
  std::vector<std::string> names;
  const auto meta = Json(program.meta).members();
  const auto found = meta.find("class_names");
  if (found == meta.end()) return names;
  try {
    Json list(found->second);
    list.array([&] { names.push_back(list.string()); });
  } catch (const JsonError& error) {
    refuse("The .sdx program has class_names that are no names (" + std::string(error.what()) +
           "); a list of strings is accepted. Compile the model again.");
  }
  return names;
}

spikedrive_program* made(Program program) {
  const char* level = std::getenv("SPIKEDRIVE_ISA");
  const int input = only_input(program), answer = static_cast<int>(program.ops.size()) - 1;
  std::vector<std::string> names = class_names(program);
  return new spikedrive_program{Engine(std::move(program), level ? level : ""), input, answer, std::move(names)};
}

int threads_of(int wanted) {
  if (wanted < 0 || wanted > most_threads)
    refuse("spikedrive_run got " + std::to_string(wanted) + " threads; it takes 0 to " + std::to_string(most_threads) +
           ". Give 0 for every core.");
#if defined(_OPENMP)
  return wanted ? wanted : std::min(omp_get_max_threads(), most_threads);
#else
  return 1;
#endif
}

void check_batch(const spikedrive_program& p, int64_t batch) {
  // no tensor's bytes may pass 64 bits, with room for what is added to a row
  int64_t largest = 1;
  for (const Value& value : p.engine.program().values) largest = std::max(largest, value.steps * value.size());
  const int64_t most = INT64_MAX / 1024 / largest;
  if (batch < 0 || batch > most)
    refuse("spikedrive_run got a batch of " + std::to_string(batch) + "; it takes 0 to " + std::to_string(most) +
           " samples of this program. Run fewer samples at a time.");
}

// What every bound of the program rests on.
template <class Integer>
void check_input(const Integer* input, int64_t count, int64_t most) {
  for (int64_t i = 0; i < count; ++i)
    if (input[i] < 0 || input[i] > most)
      refuse("spikedrive_run got the integer " + std::to_string(input[i]) + "; it takes 0 to " + std::to_string(most) +
             ", the rows of the program's table. Use the tokeniser that the model was trained with.");
}

void run(const spikedrive_program& p, const void* input, int64_t batch, int threads, int64_t* logits, int64_t* predictions) {
  check_batch(p, batch);
  const Value& value = p.value(p.input);
  const int64_t count = batch * value.steps * value.size();
  if (value.high > 255) check_input(static_cast<const int32_t*>(input), count, value.high);
  else if (value.high < 255) check_input(static_cast<const uint8_t*>(input), count, value.high);
  const auto* bytes = static_cast<const uint8_t*>(input);
  const Tensor answer = in_rows(p.engine.run(bytes, batch, {p.answer}, threads_of(threads)).front(), Type::i64);
  const int64_t outputs = p.value(p.answer).shape[0];
  for (int64_t b = 0; b < batch; ++b) {
    const auto* row = answer.at<int64_t>(0, b);
    std::copy(row, row + outputs, logits + b * outputs);
    if (predictions) predictions[b] = std::max_element(row, row + outputs) - row;
  }
}

}  // namespace

const char* spikedrive_version(void) { return SPIKEDRIVE_VERSION; }

spikedrive_program* spikedrive_load(const char* path, char* message, size_t room) {
  return guarded<spikedrive_program*>(message, room, nullptr, [&] {
    if (!path) refuse("spikedrive_load got no path; the path of an .sdx file is accepted. Give one.");
    try {
      return made(load(path));
    } catch (const std::system_error& error) {
      refuse(error.what() + std::string("; a file that may be read is needed. Check the path."));
    }
  });
}

spikedrive_program* spikedrive_read(const void* bytes, size_t size, char* message, size_t room) {
  return guarded<spikedrive_program*>(message, room, nullptr, [&] {
    const auto* from = static_cast<const uint8_t*>(bytes);
    return made(parse(from ? std::vector<uint8_t>(from, from + size) : std::vector<uint8_t>{}));
  });
}

void spikedrive_free(spikedrive_program* program) { delete program; }

int64_t spikedrive_steps(const spikedrive_program* p) { return p->value(p->input).steps; }

int64_t spikedrive_axes(const spikedrive_program* p) { return static_cast<int64_t>(p->value(p->input).shape.size()); }

int64_t spikedrive_size(const spikedrive_program* p, int64_t axis) {
  return axis >= 0 && axis < spikedrive_axes(p) ? p->value(p->input).shape[static_cast<size_t>(axis)] : 0;
}

int64_t spikedrive_largest(const spikedrive_program* p) { return p->value(p->input).high; }

int64_t spikedrive_sample_bytes(const spikedrive_program* p) {
  const Value& value = p->value(p->input);
  return value.steps * value.size() * width_of(type_for(value.low, value.high));
}

int64_t spikedrive_outputs(const spikedrive_program* p) { return p->value(p->answer).shape[0]; }

double spikedrive_scale(const spikedrive_program* p) {
  const Value& answer = p->value(p->answer);
  return std::exp2(static_cast<double>(answer.exponent)) / static_cast<double>(answer.divisor);
}

const char* spikedrive_class_name(const spikedrive_program* p, int64_t output) {
  const bool named = output >= 0 && output < std::min<int64_t>(spikedrive_outputs(p), static_cast<int64_t>(p->names.size()));
  return named ? p->names[static_cast<size_t>(output)].c_str() : nullptr;
}

const char* spikedrive_instruction_set(const spikedrive_program* p) { return p->engine.level(); }

int spikedrive_run(const spikedrive_program* program, const void* input, int64_t batch, int threads, int64_t* logits,
                   int64_t* predictions, char* message, size_t room) {
  return guarded(message, room, -1, [&] {
    if (!program || !((input && logits) || batch == 0))
      refuse("spikedrive_run got NULL; it takes a program, an input and room for logits. Give all three.");
    run(*program, input, batch, threads, logits, predictions);
    return 0;
  });
}
