// SPDX-License-Identifier: MIT
#include "tests/support/scratch_domain.hpp"

#include "tests/support/command.hpp"
#include "tests/support/rows.hpp"

namespace xlstore::test {

std::string hvm_document(const std::string& name, const std::string& uuid,
                         const std::string& cd_image)
{
    // As libxl writes it: yajl's layout, key order of its types.
    return R"({
    "c_info": {
        "type": "hvm",
        "name": ")" +
           name + R"(",
        "domid": 4294967295,
        "uuid": ")" +
           uuid + R"(",
        "run_hotplug_scripts": "True"
    },
    "b_info": {
        "max_vcpus": 2,
        "avail_vcpus": [
            0,
            1
        ],
        "max_memkb": 32768,
        "target_memkb": 32768,
        "video_memkb": 8192,
        "sched_params": {

        },
        "claim_mode": "True",
        "type.hvm": {
            "vnc": {
                "enable": "True",
                "listen": "127.0.0.1"
            },
            "usb": "True"
        }
    },
    "disks": [
        {
            "pdev_path": "/srv/xen/web01.qcow2",
            "vdev": "xvda",
            "format": "qcow2",
            "readwrite": 1,
            "colo_restore_enable": "False"
        },
        {
            "pdev_path": ")" +
           cd_image + R"(",
            "vdev": "hdc",
            "format": "raw",
            "removable": 1,
            "is_cdrom": 1,
            "colo_restore_enable": "False"
        }
    ],
    "nics": [
        {
            "devid": 0,
            "mac": "00:16:3e:1a:2b:3c",
            "bridge": "xenbr0",
            "nictype": "vif"
        }
    ],
    "on_reboot": "restart",
    "on_crash": "restart"
}
)";
}

Words qemu_command(const std::string& cd_image, const std::string& judge_socket)
{
    return {"qemu-system-x86_64",
            "-S",
            "-nodefaults",
            "-display",
            "none",
            "-machine",
            "pc,accel=tcg",
            "-m",
            "32",
            "-drive",
            "if=none,readonly=on,id=ide-5632,format=raw,file=" + cd_image,
            "-device",
            "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0",
            "-device",
            "usb-ehci,id=xenusb-0",
            "-chardev",
            "socket,id=judge,server=on,wait=off,path=" + judge_socket,
            "-mon",
            "chardev=judge,mode=control"};
}

Material::Material(const ScratchDirectory& directory, int domid, const std::string& name)
{
    const std::string number = std::to_string(domid);
    uuid = "8f2c7d10-4b6e-4a51-9d3c-" + std::string(12 - number.size(), '0') + number;
    judge = directory / ("judge-" + number);
    for (const char which : {'a', 'b'}) {
        images[which] = directory / (std::string(1, which) + ".iso");
        write_file(images[which], std::string(4096, which));
    }
    document = directory / ("domain-" + number + ".json");
    write_file(document, hvm_document(name, uuid, images['a']));
}

Words create_words(int domid, const Material& material, const Words& command)
{
    Words words = {"create", std::to_string(domid), material.document, "--"};
    words.insert(words.end(), command.begin(), command.end());
    return words;
}

ScratchDomain::ScratchDomain(const ScratchStore& store, int domid, const std::string& name,
                             const Words& more)
    : domid_(domid), material_(store.directory(), domid, name)
{
    Words command = material_.qemu();
    command.insert(command.end(), more.begin(), more.end());
    const Ran created = xlstore(store.path(), create_words(domid, material_, command));
    if (created.status != 0)
        give_up("create ended with " + std::to_string(created.status) + ": " + created.err);
    qemu_pid_ = std::stoi(sql(store.path(),
                              "SELECT qemu_pid FROM domain WHERE state = 'running' "
                              "AND domid = " +
                                  std::to_string(domid)));
}

std::string tablet(const std::string& id)
{
    return R"({"key":")" + id +
           R"(","steps":[{"execute":"device_add","arguments":{"driver":"usb-tablet","id":")" + id +
           R"(","bus":"xenusb-0.0"}}]})";
}

std::string device_plan(const std::string& id, const std::string& driver, const std::string& more)
{
    return R"({"key":")" + id + R"(","steps":[{"execute":"device_add","arguments":{"driver":")" +
           driver + R"(","id":")" + id + "\"" + more + "}}]}";
}

std::string chardev(const std::string& id)
{
    return R"({"key":")" + id + R"(","steps":[{"execute":"chardev-add","arguments":{"id":")" + id +
           R"(","backend":{"type":"null","data":{}}}}]})";
}

}  // namespace xlstore::test
