// SPDX-License-Identifier: MIT
// Documents as libxl writes them, made at random from the table of its types (libxl_types.txt) with
// no code of the project's: every type, every array, each version from 4.17 on, each layout.
#ifndef XLSTORE_TESTS_SUPPORT_LIBXL_DOCUMENT_HPP_
#define XLSTORE_TESTS_SUPPORT_LIBXL_DOCUMENT_HPP_

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace xlstore::test {

/// How a text is printed: by yajl (to Xen 4.20), by json-c before 0.18, by json-c from 0.18 on.
enum class Printer { yajl, json_c, json_c_18 };

/// A JSON value; strings as their content.
struct Tree {
    enum class Kind { token, string, object, array } kind = Kind::object;
    std::string text = {};  ///< of a token or a string
    std::vector<std::pair<std::string, Tree>> members = {};
    std::vector<Tree> elements = {};

    [[nodiscard]] Tree* find(const std::string& key);
    [[nodiscard]] std::string print(Printer printer) const;
};

/// One line of the table below its struct.
struct LibxlMember {
    std::string name;
    std::string type;
    std::optional<std::string> omitted = {};  ///< the value with which it is omitted
    bool is_case = false;
    int since = 17;  ///< of Xen 4
};

class LibxlTypes {
public:
    LibxlTypes();  ///< @throws std::runtime_error: the table cannot be read
    [[nodiscard]] const std::vector<LibxlMember>& members_of(const std::string& structure) const;
    /// "device_disk" for "disks".
    [[nodiscard]] std::string element_of(const std::string& array) const;
    [[nodiscard]] const std::vector<std::string>& values_of(const std::string& enumeration) const;

private:
    std::map<std::string, std::vector<LibxlMember>> structures_;
    std::map<std::string, std::vector<std::string>> enumerations_;
};

class LibxlDocuments {
public:
    explicit LibxlDocuments(std::uint32_t seed) : random_(seed) {}

    /// A whole document of Xen 4.`version`: about `density` percent of what may be there is.
    /// `bytes`: strings may be other than UTF-8, which json-c alone reads.
    Tree document(int version, unsigned density, bool bytes);
    /// An element of an array, with the identity that `number` gives it.
    Tree element(const std::string& array, std::int64_t number, int version, unsigned density);
    Tree structure(const std::string& name, int version, unsigned density);
    [[nodiscard]] const LibxlTypes& types() const { return types_; }
    std::uint64_t number(std::uint64_t most);

private:
    std::optional<Tree> value(const std::string& type, int version, unsigned density);
    std::optional<Tree> scalar(const std::string& type);
    std::optional<Tree> list(const std::string& type);
    std::string text();
    bool chance(unsigned percent) { return number(99) < percent; }

    LibxlTypes types_;
    std::mt19937 random_;
    bool bytes_ = false;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_LIBXL_DOCUMENT_HPP_
