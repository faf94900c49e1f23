// SPDX-License-Identifier: MIT
// The way down the leftmost children: all pages have to be of the tree's kind, and the first cell
// that can be read decides by its number of columns. A schema row has five as well, and a type in
// front: a tree of those is another one.
#include "recovery/salvage/plausible_root.hpp"

#include <string>
#include <utility>
#include <variant>

namespace xlstore::recovery {

namespace {

constexpr int kDeepest = 20;  // levels of a tree; SQLite has as many at most

// type, name, tbl_name, rootpage, sql: where a page of the schema is in the place of another's
// root.
bool is_of_schema(const std::vector<Value>& values)
{
    constexpr std::size_t kColumns = 5;
    if (values.size() != kColumns) return false;
    const auto* type = std::get_if<std::string>(&values.front());
    return type && (*type == "table" || *type == "index" || *type == "trigger" || *type == "view");
}

}  // namespace

bool is_plausible_root(const Pages& pages, std::uint32_t root, const TreeShape& shape)
{
    std::uint32_t number = root;
    for (int level = 0; level < kDeepest; ++level) {
        if (number < 1 || number > pages.count()) return false;
        const auto type = pages.type(number);
        if (type == PageType::none) return level != 0;
        if (is_index(type) != shape.of_index) return false;
        if (!is_interior(type)) {
            for (const auto place : pages.places(number)) {
                const auto cell = pages.cell(number, place, type);
                if (cell)
                    return cell->values.size() >= shape.least &&
                           cell->values.size() <= shape.most && !is_of_schema(cell->values);
            }
            return true;
        }
        const auto children = pages.children(number);
        if (children.empty()) return true;
        number = children.front();
    }
    return false;
}

std::map<std::string, std::uint32_t> told_roots(const Pages& pages)
{
    std::map<std::string, std::uint32_t> roots;
    std::map<std::string, int> of_name;
    std::map<std::uint32_t, int> of_root;
    for (std::uint32_t number = 1; number <= pages.count(); ++number) {
        const auto type = pages.type(number);
        if (type == PageType::none || is_index(type) || is_interior(type)) continue;
        for (const auto place : pages.places(number)) {
            const auto cell = pages.cell(number, place, type);
            if (!cell || !is_of_schema(cell->values)) continue;
            const auto* name = std::get_if<std::string>(&cell->values[1]);
            const auto* root = std::get_if<std::int64_t>(&cell->values[3]);
            if (!name || !root || *root <= 1 || *root > pages.count()) continue;
            const auto page = static_cast<std::uint32_t>(*root);
            const auto known = roots.find(*name);
            if (known != roots.end() && known->second == page) continue;  // an older copy
            roots.emplace(*name, page);
            ++of_name[*name];
            ++of_root[page];
        }
    }
    std::erase_if(roots, [&](const auto& told) {
        return of_name[told.first] > 1 || of_root[told.second] > 1;
    });
    return roots;
}

Roots::Roots(const Pages& pages, std::map<std::string, std::uint32_t> told)
    : pages_(pages), told_(std::move(told))
{
    for (const auto& [name, root] : told_)
        named_.insert(root);
}

std::uint32_t Roots::of(const std::string& name, std::int64_t usual, const TreeShape& shape)
{
    const auto own = told_.find(name);
    if (own != told_.end() && take(own->second, shape)) return own->second;
    const auto root = static_cast<std::uint32_t>(usual);
    return !named_.contains(root) && take(root, shape) ? root : 0;
}

bool Roots::take(std::uint32_t root, const TreeShape& shape)
{
    return is_plausible_root(pages_, root, shape) && taken_.insert(root).second;
}

}  // namespace xlstore::recovery
