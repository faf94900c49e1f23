// SPDX-License-Identifier: MIT
// A reader for the part of mdoc(7) that the entries of xlfsck(8) use. The page is in the program
// (embed_manual.cmake), so that --explain and the manual cannot differ.
#include "tools/xlfsck/manual.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <vector>

namespace xlstore::tools {

namespace {

constexpr std::array<std::string_view, 10> kPlainMacros = {"Ar", "Cm", "Dv", "Em", "Ev",
                                                           "Ic", "Li", "Op", "Pa", "Sy"};

bool is_delimiter(std::string_view word)
{
    return word.size() == 1 && std::string_view(".,:;)?!").find(word) != std::string_view::npos;
}

// The words of one line of macros, put together as mdoc(7) has it.
class Line {
public:
    explicit Line(std::string_view macros)
    {
        std::istringstream in{std::string(macros)};
        for (std::string word; in >> word;)
            words_.push_back(word);
        for (at_ = 0; at_ < words_.size(); ++at_)
            take(words_[at_]);
        close();
    }
    [[nodiscard]] std::string text() && { return std::move(text_); }

private:
    void take(const std::string& word)
    {
        if (word == "Ns") {
            glued_ = true;
        } else if (word == "Nm") {
            put("xlfsck");
        } else if (word == "Xr" && at_ + 2 < words_.size()) {
            put(words_[at_ + 1] + "(" + words_[at_ + 2] + ")");
            at_ += 2;
        } else if (word == "Dq" || word == "Pq" || word == "Ql") {
            put(word == "Dq" ? "\"" : word == "Pq" ? "(" : "'");
            closing_ = (word == "Dq" ? "\"" : word == "Pq" ? ")" : "'") + closing_;
            glued_ = true;
            dash_ = false;
        } else if (word == "Fl" || std::ranges::find(kPlainMacros, word) != kPlainMacros.end()) {
            dash_ = word == "Fl";
        } else if (is_delimiter(word)) {
            if (std::all_of(words_.begin() + static_cast<std::ptrdiff_t>(at_), words_.end(),
                            is_delimiter))
                close();
            text_ += word;
        } else {
            put((dash_ ? "-" : "") + word);
        }
    }
    void put(const std::string& word)
    {
        if (!glued_) text_ += ' ';
        text_ += word;
        glued_ = false;
    }
    void close()
    {
        text_ += closing_;
        closing_.clear();
    }

    std::vector<std::string> words_;
    std::size_t at_ = 0;
    std::string text_;
    std::string closing_;
    bool glued_ = true;
    bool dash_ = false;
};

std::string without_escapes(std::string text)
{
    for (auto at = text.find("\\&"); at != std::string::npos; at = text.find("\\&"))
        text.erase(at, 2);
    for (auto at = text.find("\\~"); at != std::string::npos; at = text.find("\\~"))
        text.replace(at, 2, " ");
    return text;
}

void wrap(std::string& into, const std::string& paragraph, std::size_t width)
{
    std::istringstream in(paragraph);
    std::size_t column = 0;
    for (std::string word; in >> word;) {
        if (column > 0 && column + 1 + word.size() > width) {
            into += '\n';
            column = 0;
        }
        if (column > 0) into += ' ';
        into += word;
        column += word.size() + (column > 0 ? 1 : 0);
    }
    if (column > 0) into += '\n';
}

// Whether a line of the source begins a paragraph of the entry.
bool begins_paragraph(std::string_view line)
{
    return line.starts_with(".Em Repair") || line.starts_with(".Em On no") || line == ".Pp";
}

}  // namespace

std::string plain_line(std::string_view line)
{
    if (line.starts_with('.')) return without_escapes(Line(line.substr(1)).text());
    return without_escapes(std::string(line));
}

std::string manual_entry(recovery::Code code, std::size_t width)
{
    const auto& about = recovery::problem(code);
    const std::string heading =
        std::to_string(static_cast<int>(code)) + " " + std::string(about.name);
    const auto begin = kManual.find("\n.It Sy " + heading + "\n");
    if (begin == std::string_view::npos) return "";
    std::istringstream in{std::string(kManual.substr(begin + 1))};
    std::string line;
    std::getline(in, line);
    std::string text = heading + "\n";
    std::string paragraph;
    while (std::getline(in, line) && !line.starts_with(".It") && !line.starts_with(".El")) {
        if (begins_paragraph(line)) {
            wrap(text, paragraph, width);
            paragraph.clear();
            if (line == ".Pp") continue;
        }
        paragraph += (paragraph.empty() ? "" : " ") + plain_line(line);
    }
    wrap(text, paragraph, width);
    return text;
}

}  // namespace xlstore::tools
