// The trainer for Python: jarvis_nano._bpe.WordCounter and train. kernels/bpe/trainer.py is its public face.
#include <pybind11/stl.h>

#include <algorithm>
#include <utility>

#include "bpe_python_text.h"
#include "bpe_train.h"

namespace jarvis::bpe {
namespace {

// Ctrl-C ends the work: called where the interpreter lock is free.
void check_signals() {
  const py::gil_scoped_acquire locked;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

// Words counted so far, a table a thread.
class WordCounter {
 public:
  WordCounter(const std::string& pattern, std::size_t threads) : pattern_(pattern_named(pattern)), tables_(threads) {}

  // The bytes of UTF-8 in the texts. A refused text leaves the counts half done.
  std::uint64_t add(const py::list& texts) {
    const Busy busy(*this);
    std::vector<py::object> held;  // the list may change while the lock is free; what it held does not
    std::vector<Text> raw;
    for (py::handle text : texts) {
      const auto found = text_of(text.ptr());
      if (!found) {
        throw py::type_error("text " + std::to_string(texts_ + raw.size() + 1) + " of the corpus is a " +
                             Py_TYPE(text.ptr())->tp_name + "; expected str or bytes");
      }
      raw.push_back(*found);
      held.push_back(py::reinterpret_borrow<py::object>(text));
    }
    std::uint64_t bytes;
    try {
      const py::gil_scoped_release unlocked;
      bytes = count_words(pattern_, raw, tables_, check_signals);
    } catch (const BadText& bad) {
      throw py::value_error("text " + std::to_string(texts_ + bad.text + 1) + " of the corpus: " + described(bad));
    }
    texts_ += raw.size();
    return bytes;
  }

  Learnt learn(const TrainingSettings& settings, const py::object& progress) {
    const Busy busy(*this);
    Learnt learnt;
    {
      const py::gil_scoped_release unlocked;
      gather();
      learnt = learn_merges(settings, tables_[0], [&](std::size_t done, std::size_t wanted) {
        const py::gil_scoped_acquire locked;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (!progress.is_none()) progress(done, wanted);
      });
    }
    return learnt;
  }

  std::size_t distinct() {
    if (!busy_) {
      gather();
      distinct_ = tables_[0].size();
    }
    return distinct_;
  }
  std::size_t memory() {
    if (!busy_) {
      memory_ = 0;
      for (const WordCounts& table : tables_) memory_ += table.memory();
    }
    return memory_;
  }

 private:
  // While the tables change, with the interpreter lock free, another thread is told the last numbers, or refused.
  class Busy {
   public:
    explicit Busy(WordCounter& counter) : counter_(counter) {
      if (counter.busy_) throw std::runtime_error("the trainer is at work in another thread; wait for it");
      counter.busy_ = true;
    }
    Busy(const Busy&) = delete;
    ~Busy() { counter_.busy_ = false; }

   private:
    WordCounter& counter_;
  };
  void gather() {
    for (std::size_t i = 1; i < tables_.size(); ++i) {
      if (tables_[i].size()) tables_[0].absorb(std::exchange(tables_[i], WordCounts()));
    }
  }

  const Pattern pattern_;
  std::vector<WordCounts> tables_;
  std::size_t texts_ = 0, distinct_ = 0, memory_ = 0;
  bool busy_ = false;
};

// The text that stands for a token's bytes in a vocabulary: a character of `alphabet` for each.
py::str spelt(const std::string& bytes, const std::u16string& alphabet) {
  std::u16string text(bytes.size(), 0);
  std::transform(bytes.begin(), bytes.end(), text.begin(), [&](char byte) { return alphabet[static_cast<Byte>(byte)]; });
  PyObject* made = PyUnicode_FromKindAndData(PyUnicode_2BYTE_KIND, text.data(), static_cast<Py_ssize_t>(text.size()));
  if (!made) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(made);
}

// The merges as a list of pairs of texts, and the vocabulary as a dict of texts to ids.
py::tuple learn(WordCounter& counter, std::size_t vocab_size, std::uint64_t min_frequency,
                std::optional<std::size_t> limit_alphabet, std::optional<std::size_t> max_token_length,
                const std::string& initial_alphabet, const py::list& special_tokens, const std::u16string& alphabet,
                const py::object& progress) {
  if (alphabet.size() != 256) throw py::value_error("expected a character for each of the 256 bytes");
  TrainingSettings settings;
  settings.vocab_size = vocab_size;
  settings.min_frequency = min_frequency;
  settings.limit_alphabet = limit_alphabet;
  settings.max_token_length = max_token_length.value_or(SIZE_MAX);
  for (const char byte : initial_alphabet) settings.initial_alphabet[static_cast<Byte>(byte)] = true;
  std::vector<py::str> texts;
  for (py::handle token : special_tokens) {
    const auto [text, bytes] = token.cast<std::pair<py::str, std::optional<std::string>>>();
    texts.push_back(text);
    settings.special_tokens.push_back(bytes);
  }
  const Learnt learnt = counter.learn(settings, progress);
  py::dict vocab;
  for (std::size_t id = 0; id < learnt.tokens.size(); ++id) {
    if (id >= texts.size()) texts.push_back(spelt(learnt.tokens[id], alphabet));
    vocab[texts[id]] = id;
  }
  py::list merges(learnt.merges.size());
  for (std::size_t i = 0; i < learnt.merges.size(); ++i) {
    merges[i] = py::make_tuple(texts[learnt.merges[i].left], texts[learnt.merges[i].right]);
  }
  return py::make_tuple(merges, vocab);
}

}  // namespace

void bind_trainer(py::module_& module) {
  py::class_<WordCounter>(module, "WordCounter")
      .def(py::init<const std::string&, std::size_t>(), py::arg("scanner"), py::arg("threads"))
      .def("add", &WordCounter::add, py::arg("texts"))
      .def("learn", &learn, py::kw_only(), py::arg("vocab_size"), py::arg("min_frequency"), py::arg("limit_alphabet"),
           py::arg("max_token_length"), py::arg("initial_alphabet"), py::arg("special_tokens"), py::arg("alphabet"),
           py::arg("progress"))
      .def_property_readonly("distinct_words", &WordCounter::distinct)
      .def_property_readonly("memory", &WordCounter::memory);
}

}  // namespace jarvis::bpe
