// SPDX-License-Identifier: MIT
// A plan depends on another when one of its arguments is a name that the other makes. Each string
// of the arguments is looked up among those names, wherever it stands: which members of which
// command are references is QEMU's to know, and changes with its version. Then depth first; a
// circle is cut where it closes.
#include "store/model/dependency.hpp"

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// All strings of a value, however deep.
void collect_strings(std::string_view value, std::set<std::string>& into)
{
    switch (json_type(value)) {
    case JsonType::string:
        into.insert(json_decode_string(value));
        break;
    case JsonType::object:
        for (const auto& member : json_members(value))
            collect_strings(member.value, into);
        break;
    case JsonType::array:
        for (const auto element : json_elements(value))
            collect_strings(element, into);
        break;
    default:
        break;
    }
}

std::set<std::string> strings_of(const Plan& plan)
{
    std::set<std::string> found;
    for (const auto& step : plan.steps)
        if (!step.command.arguments.empty()) collect_strings(step.command.arguments, found);
    return found;
}

// "xenusb-0.0" is a bus of xenusb-0.
std::string_view without_bus_number(std::string_view name)
{
    const auto dot = name.rfind('.');
    if (dot == std::string_view::npos || dot + 1 == name.size() ||
        name.find_first_not_of("0123456789", dot + 1) != std::string_view::npos)
        return {};
    return name.substr(0, dot);
}

// Depth first; one that is on the way already closes a circle, and is left where it is.
class Order {
public:
    explicit Order(const std::vector<Plan>& plans) : plans_(plans), seen_(plans.size(), false)
    {
        for (std::size_t i = 0; i < plans.size(); ++i)
            for (const auto& product : plans[i].probe.products)
                if (!is_fdset(product)) makers_[product.name].insert(i);
        for (std::size_t i = 0; i < plans.size(); ++i)
            visit(i);
    }
    std::vector<std::size_t> take() { return std::move(order_); }

private:
    [[nodiscard]] std::set<std::size_t> depends_on(std::size_t number) const
    {
        std::set<std::size_t> found;
        for (const auto& text : strings_of(plans_[number]))
            for (const std::string_view name : {std::string_view(text), without_bus_number(text)})
                if (const auto at = makers_.find(name); at != makers_.end())
                    found.insert(at->second.begin(), at->second.end());
        found.erase(number);
        return found;
    }
    void visit(std::size_t number)
    {
        if (seen_[number]) return;
        seen_[number] = true;
        for (const auto other : depends_on(number))
            visit(other);
        order_.push_back(number);
    }

    const std::vector<Plan>& plans_;
    std::map<std::string, std::set<std::size_t>, std::less<>> makers_;  // by the name of a product
    std::vector<bool> seen_;
    std::vector<std::size_t> order_;
};

}  // namespace

std::vector<std::size_t> order_by_dependency(const std::vector<Plan>& plans)
{
    return Order(plans).take();
}

}  // namespace xlstore
