// SPDX-License-Identifier: MIT
#include "recovery/salvage/plausible_root.hpp"

namespace xlstore::recovery {

namespace {

constexpr int kDeepest = 20;  // levels of a tree; SQLite has as many at most

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
                    return cell->values.size() >= shape.least && cell->values.size() <= shape.most;
            }
            return true;
        }
        const auto children = pages.children(number);
        if (children.empty()) return true;
        number = children.front();
    }
    return false;
}

}  // namespace xlstore::recovery
