// SPDX-License-Identifier: MIT
#include "tools/xlstore/library.hpp"

#include <algorithm>
#include <cstdio>

#include "tools/common/json_value.hpp"
#include "tools/common/progress.hpp"
#include "tools/common/stderr_log.hpp"
#include "tools/common/table.hpp"

namespace xlstore::tools {

namespace {

constexpr double kMsPerSecond = 1000;

uint32_t timeout_ms(const Arguments& arguments)
{
    // 0 would stand for the standard time.
    return arguments.timeout_s
               ? std::max(1U, static_cast<uint32_t>(*arguments.timeout_s * kMsPerSecond))
               : 0;
}

void to_stderr(int32_t level, const char* line, void*)
{
    static const StderrLog log("xlstore");
    log(static_cast<LogLevel>(level), line);
}

Result<StoreHandle> open(const Arguments& arguments, bool read_only)
{
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    options.program = "xlstore";
    options.read_only = read_only ? 1 : 0;
    options.timeout_ms = timeout_ms(arguments);
    options.log = to_stderr;
    options.log_least = arguments.verbose ? XLSTORE_LOG_DEBUG : XLSTORE_LOG_WARNING;
    xlstore_store* store = nullptr;
    if (xlstore_open(arguments.store.c_str(), &options, &store) != XLSTORE_OK) return last_error();
    return StoreHandle(store);
}

struct Table {
    bool json;
    std::string objects = "[";
    std::vector<std::vector<std::string>> rows;
};

int32_t add_row(int32_t columns, const char* const* /*names*/, const char* const* values,
                void* userdata)
{
    auto& table = *static_cast<Table*>(userdata);
    const auto text = [&](int32_t column) { return values[column] ? values[column] : ""; };
    if (table.json) {
        table.objects += (table.objects.size() > 1 ? "," : "") + std::string(text(0));
        return XLSTORE_OK;
    }
    auto& cells = table.rows.emplace_back();
    for (int32_t i = 1; i < columns; ++i)
        cells.push_back(plain(text(i)));
    return XLSTORE_OK;
}

// "id:3, id:1 and 7 more"
std::string listed(const Json& ids)
{
    constexpr std::size_t kShown = 5;
    std::string text;
    for (std::size_t i = 0; i < std::min(ids.size(), kShown); ++i)
        text += (text.empty() ? "id:" : ", id:") + ids[i].dump();
    if (ids.size() > kShown) text += " and " + std::to_string(ids.size() - kShown) + " more";
    return text;
}

}  // namespace

Result<StoreHandle> open_store(const Arguments& arguments)
{
    return open(arguments, false);
}

Result<StoreHandle> open_to_look(const Arguments& arguments)
{
    return open(arguments, true);
}

xlstore_call call_of(const Arguments& arguments)
{
    xlstore_call call = XLSTORE_CALL_INIT;
    call.timeout_ms = timeout_ms(arguments);
    return call;
}

Result<ResultHandle> perform(const Arguments& arguments, const Operation& operation)
{
    auto store = open_store(arguments);
    if (!store) return store.error();
    if (arguments.no_scripts) xlstore_set_hotplug_scripts(store->get(), 0, nullptr);
    const xlstore_call call = call_of(arguments);
    xlstore_result* result = nullptr;
    {
        const Progress progress("xlstore " + arguments.verb);
        operation(store->get(), call, &result);
    }
    if (!result) return last_error();
    return ResultHandle(result);
}

Result<Status> tell(const Arguments& arguments, const xlstore_result* result)
{
    const int32_t status = xlstore_result_status(result);
    if (status != XLSTORE_OK)
        return error_of(status, xlstore_result_message(result), xlstore_result_advice(result),
                        xlstore_result_intent(result));
    if (arguments.json)
        print_json(xlstore_result_json(result));
    else
        std::puts(plain(xlstore_result_message(result)).c_str());
    return Status::done;
}

Result<Status> run_operation(const Arguments& arguments, const Operation& operation)
{
    const auto result = perform(arguments, operation);
    return result ? tell(arguments, result->get()) : result.error();
}

void note_others(std::int64_t id, const char* which, const std::string& word, const char* others)
{
    const auto ids = json_value(others);
    if (ids.empty()) return;
    std::fprintf(stderr, "xlstore: note: this is id:%lld, the %s that %s fits; others: %s\n",
                 static_cast<long long>(id), which, plain(word).c_str(), listed(ids).c_str());
}

void print_notes(const char* notes)
{
    const auto list = json_value(notes);
    for (const auto& note : list)
        std::fprintf(stderr, "xlstore: note: %s\n", plain(note.get<std::string>()).c_str());
}

Result<Status> print_rows(const Arguments& arguments, xlstore_store* store, const char* sql,
                          const std::vector<std::string>& parameters,
                          const std::vector<std::string>& head)
{
    std::vector<const char*> values;
    for (const auto& parameter : parameters)
        values.push_back(parameter.c_str());
    const xlstore_call call = call_of(arguments);
    Table table{arguments.json, "[", {}};
    if (xlstore_query(store, sql, values.data(), values.size(), &call, add_row, &table) !=
        XLSTORE_OK)
        return last_error();
    if (arguments.json)
        print_json(table.objects + "]");
    else
        print_table(head, table.rows);
    return Status::done;
}

}  // namespace xlstore::tools
