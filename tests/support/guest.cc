// SPDX-License-Identifier: MIT
#include "tests/support/guest.hpp"

#include <filesystem>
#include <stdexcept>
#include <string_view>

namespace xlstore::test {

namespace {

constexpr const char* kKernel = XLSTORE_BINARY_DIR "/guest/vmlinuz";
constexpr const char* kInitramfs = XLSTORE_BINARY_DIR "/guest/initramfs";
constexpr std::string_view kSees = "guest: pci=";  // how a line of the guest's begins
// Deadlines of a machine with a lot else to do; idle, it takes 3 s to boot and notices at once.
constexpr std::chrono::seconds kBoot{120};
constexpr std::chrono::seconds kNotice{60};

void expect_return(const std::string& judge, const std::string& command)
{
    const std::string reply = qmp(judge, command);
    if (!contains(reply, "\"return\"")) throw std::runtime_error(command + ": " + reply);
}

}  // namespace

bool Guest::can_be_made()
{
    return std::filesystem::exists(kKernel) && std::filesystem::exists(kInitramfs);
}

Guest::Guest(const ScratchStore& store)
    : material_(store.directory(), 7, "guest"), console_(store.directory() / "console")
{
    std::string document = read_file(material_.document);
    const std::string both = "            0,\n            1\n";
    document.replace(document.find(both), both.size(), "            0\n");
    write_file(material_.document, document);

    Words command = material_.qemu();
    command.insert(command.end(), {"-m", "160,slots=1,maxmem=1G", "-smp", "1,maxcpus=2", "-serial",
                                   "file:" + console_, "-kernel", kKernel, "-initrd", kInitramfs,
                                   "-append", "console=ttyS0 quiet"});
    const Ran created = xlstore(store.path(), create_words(7, material_, command));
    if (created.status != 0) throw std::runtime_error("create: " + created.err);
}

void Guest::boot() const
{
    go_on();
    if (!wait_until(kBoot, [&] { return last_line().starts_with(kSees); }))
        throw std::runtime_error("the guest does not come up: " + read_file(console_));
}

void Guest::pause() const
{
    expect_return(judge(), "stop");
}

void Guest::go_on() const
{
    expect_return(judge(), "cont");
}

testing::AssertionResult Guest::sees(const std::string& what) const
{
    const auto seen = [&] {
        return (last_line() + " ").find(" " + what + " ") != std::string::npos;
    };
    if (wait_until(kNotice, seen)) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "\"" << what << "\" is not in \"" << last_line() << "\"";
}

int Guest::pci_devices_at_boot() const
{
    const std::string text = read_file(console_);
    return std::stoi(text.substr(text.find(kSees) + kSees.size()));
}

std::string Guest::last_line() const
{
    const std::string text = read_file(console_);
    const auto end = text.rfind("\r\n");  // what follows is still being written
    if (end == std::string::npos) return {};
    const auto begin = text.rfind('\n', end);
    return text.substr(begin == std::string::npos ? 0 : begin + 1, end - begin - 1);
}

}  // namespace xlstore::test
