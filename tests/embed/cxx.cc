// SPDX-License-Identifier: MIT
// C++20 coroutines over the calls with _start: each domain's work reads from top to bottom, and all
// domains' go on at the same time in one thread.
//
//   cxx STORE DOMAIN...      e.g.  cxx /var/lib/xlstore domid:7 name:web01
//
// Gives each domain a USB keyboard and then a tablet; without the tablet, the keyboard goes again.
// Exit status, the worst of all domains: 0 done, 1 not done, 2 usage, 3 in doubt.
#include <poll.h>
#include <xlstore/xlstore.h>

#include <algorithm>
#include <cerrno>
#include <coroutine>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

/// What an operation ended with; the result itself ends with its callback.
struct Outcome {
    int32_t status = XLSTORE_OK;
    std::string message;
    explicit operator bool() const { return status == XLSTORE_OK; }
};

/// One operation to be awaited. `Start` calls a function with _start, with the three that are given
/// to it at the end. Destroyed before it has ended, it gives the operation up.
template <class Start>
class Call {
public:
    explicit Call(Start start) : start_(std::move(start)) {}
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() { xlstore_op_forget(op_); }

    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> waiting)
    {
        waiting_ = waiting;
        outcome_.status = start_(&Call::ended, static_cast<void*>(this), &op_);
        if (outcome_.status == XLSTORE_OK) return true;
        xlstore_error error = XLSTORE_ERROR_INIT;  // it could not even begin
        xlstore_last_error(&error);
        outcome_.message = error.message;
        return false;
    }
    Outcome await_resume() { return std::move(outcome_); }

private:
    static void ended(xlstore_result* result, void* self)
    {
        Call& call = *static_cast<Call*>(self);
        call.op_ = nullptr;
        call.outcome_ = {xlstore_result_status(result), xlstore_result_message(result)};
        call.waiting_.resume();  // calling back in is allowed
    }

    Start start_;
    std::coroutine_handle<> waiting_;
    Outcome outcome_;
    xlstore_op* op_ = nullptr;
};

/// A coroutine that runs until its first wait when it is made, and is given up when it is
/// destroyed.
class Job {
public:
    struct promise_type {
        int exit_status = 0;
        Job get_return_object()
        {
            return Job(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_never initial_suspend() { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_value(int value) { exit_status = value; }
        // An exception must not cross the C callback that resumed us.
        void unhandled_exception() { std::terminate(); }
    };
    explicit Job(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    Job(Job&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Job& operator=(Job&&) = delete;
    ~Job()
    {
        if (handle_) handle_.destroy();
    }
    bool done() const { return handle_.done(); }
    int exit_status() const { return handle_.promise().exit_status; }

private:
    std::coroutine_handle<promise_type> handle_;
};

auto attach(xlstore_store* store, const std::string& domain, const char* json)
{
    return Call([=](xlstore_callback callback, void* self, xlstore_op** op) {
        return xlstore_attach_start(store, domain.c_str(), "usbdevs", json, nullptr, callback, self,
                                    op);
    });
}

auto detach(xlstore_store* store, const std::string& domain, const char* key)
{
    return Call([=](xlstore_callback callback, void* self, xlstore_op** op) {
        return xlstore_detach_start(store, domain.c_str(), "usbdevs", key, nullptr, callback, self,
                                    op);
    });
}

int told(const std::string& domain, const Outcome& outcome)
{
    std::fprintf(stderr, "cxx: %s: %s\n", domain.c_str(), outcome.message.c_str());
    if (outcome) return 0;
    return outcome.status == XLSTORE_E_IN_DOUBT ? 3 : 1;
}

Job keyboard_and_tablet(xlstore_store* store, std::string domain)
{
    const auto keyboard = co_await attach(
        store, domain, R"({"ctrl": 0, "port": 3, "type.emulated": {"driver": "usb-kbd"}})");
    if (const int failed = told(domain, keyboard)) co_return failed;

    const auto tablet = co_await attach(
        store, domain, R"({"ctrl": 0, "port": 4, "type.emulated": {"driver": "usb-tablet"}})");
    const int failed = told(domain, tablet);
    if (failed) told(domain, co_await detach(store, domain, "0.3"));
    co_return failed;
}

int complain(const char* what)
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    std::fprintf(stderr, "cxx: %s: %s\n", what, error.message);
    return 1;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 3) {
        std::fprintf(stderr, "usage: cxx STORE DOMAIN...\n");
        return 2;
    }
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    options.program = "cxx";
    xlstore_store* opened = nullptr;
    if (xlstore_open(argv[1], &options, &opened) != XLSTORE_OK) return complain(argv[1]);
    const std::unique_ptr<xlstore_store, void (*)(xlstore_store*)> store(opened, xlstore_close);

    std::vector<Job> jobs;  // ends before the store, and gives up what is under way
    for (int i = 2; i < argc; ++i)
        jobs.push_back(keyboard_and_tablet(store.get(), argv[i]));
    while (!std::all_of(jobs.begin(), jobs.end(), [](const Job& job) { return job.done(); })) {
        pollfd wait{xlstore_fd(store.get()), POLLIN, 0};
        if (poll(&wait, 1, -1) < 0 && errno != EINTR) return std::perror("cxx: poll"), 1;
        if (xlstore_dispatch(store.get()) != XLSTORE_OK) return complain("dispatch");
    }
    int worst = 0;
    for (const auto& job : jobs)
        worst = std::max(worst, job.exit_status());
    return worst;
}
