// SPDX-License-Identifier: MIT
#include "tests/support/verdict.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>
#include <vector>

#include "tests/support/qemu.hpp"
#include "tests/support/rows.hpp"

namespace xlstore::test {

namespace {

struct InQemu {
    std::vector<std::pair<std::string, std::string>> made;  // kind, name: not there at birth
    std::string medium;
};

InQemu look_at(const std::string& judge)
{
    InQemu found;
    std::istringstream devices(devices_of(judge));
    for (std::string name; devices >> name;)
        if (name != "ide-5632" && name != "xenusb-0") found.made.emplace_back("device", name);
    for (const auto& name : each_of(judge, "query-chardev", "label"))
        if (name != "judge" && name != "serial0" && name != "xlstore-cmd" &&
            name != "compat_monitor0")
            found.made.emplace_back("chardev", name);
    for (const auto& name : each_of(judge, "query-named-block-nodes", "node-name"))
        if (!name.starts_with("#")) found.made.emplace_back("node", name);
    found.medium = medium_of(judge);
    return found;
}

std::string path_in(const std::string& image)
{
    return image.empty() ? "none" : nlohmann::json::parse(image).value("pdev_path", "");
}

}  // namespace

testing::AssertionResult invariant_holds(const std::string& store, const std::string& judge)
{
    const InQemu found = look_at(judge);
    RawStore db(store + "/store.db");
    db.rows("BEGIN");
    for (const auto& [kind, name] : found.made)
        if (db.rows("SELECT 1 FROM product p JOIN thing t ON t.id = p.thing JOIN domain d "
                    "ON d.id = t.domain WHERE d.state <> 'destroyed' AND p.kind = ? AND p.name = ?",
                    {kind, name})
                .empty())
            return testing::AssertionFailure()
                   << "QEMU has " << kind << " " << name << " and no entry says so";
    bool known = found.medium.empty();
    std::string shown;
    for (const auto& row :
         db.rows("SELECT t.json, i.image_before, i.image_after, i.image_neither FROM thing t "
                 "LEFT JOIN intent i ON i.thing = t.id WHERE t.key = 'hdc'"))
        for (const auto& image : row) {
            known = known || path_in(image) == found.medium;
            shown += path_in(image) + " ";
        }
    if (!known)
        return testing::AssertionFailure()
               << "the drive holds " << found.medium << ", the store knows of " << shown;
    return testing::AssertionSuccess();
}

testing::AssertionResult store_and_qemu_agree(const std::string& store, const std::string& judge)
{
    const InQemu found = look_at(judge);
    RawStore db(store + "/store.db");
    db.rows("BEGIN");
    if (const auto open = db.rows("SELECT id, note FROM intent"); !open.empty())
        return testing::AssertionFailure() << "intent " << open[0][0] << " is open: " << open[0][1];
    if (const auto odd = db.rows("SELECT class || '/' || key || ' is ' || state FROM thing WHERE "
                                 "state NOT IN ('present', 'stale')");
        !odd.empty())
        return testing::AssertionFailure() << odd[0][0];
    std::vector<std::pair<std::string, std::string>> known;
    for (const auto& row : db.rows("SELECT p.kind, p.name FROM product p JOIN thing t ON t.id = "
                                   "p.thing WHERE t.state = 'present' AND p.kind <> 'fdset'"))
        known.emplace_back(row[0], row[1]);
    auto made = found.made;
    std::sort(known.begin(), known.end());
    std::sort(made.begin(), made.end());
    if (known != made)
        return testing::AssertionFailure()
               << "entries say " << known.size() << " products, QEMU has " << made.size();
    const auto medium =
        first_cell(db.rows("SELECT json FROM thing WHERE key = 'hdc' AND state = 'present'"));
    if (path_in(medium) != found.medium)
        return testing::AssertionFailure() << "the entry of hdc says " << path_in(medium)
                                           << ", the drive holds " << found.medium;
    return testing::AssertionSuccess();
}

}  // namespace xlstore::test
