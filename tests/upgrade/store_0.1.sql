-- SPDX-License-Identifier: MIT
-- The rows of a store that release 0.1 made (schema version 3), for tests/upgrade: they are put into the
-- tables of the first three steps. @DIR@ and @BOOT@ are replaced. Never edited: no other release made it.
--
--  1 d1           runs; a CD in hdc, a tablet present and one stale
--  2 all-devices  imported, in json-c's layout; one entry set aside by xlfsck
--  3 d3           runs; two open intents of clients that were killed: a changed CD, an added tablet
--  4 d4           destroyed
--  5 d5           its destruction was ordered, and its client killed
--  6 d6           its creator was killed before its QEMU was let run
--  and a tombstone (domid 77), sessions that were killed, history

INSERT INTO store (id, uuid, created_us, durability, history_pruned_below) VALUES
(1, '50523fb7-1154-4739-b289-a3a644c04c0e', 1795931413939171, 'process', 0);

INSERT INTO session (id, pid, start_time, pid_namespace, boot_id, program, opened_us) VALUES
(14, 18391, 81570, 4026531836, '@BOOT@', 'xlstore', 1795931426775682),
(15, 18394, 81592, 4026531836, '@BOOT@', 'xlstore', 1795931427171175),
(16, 18411, 81646, 4026531836, '@BOOT@', 'xlstore', 1795931427731726),
(17, 18416, 81696, 4026531836, '@BOOT@', 'xlstore', 1795931428278004);

INSERT INTO domain (id, domid, uuid, vm_uuid, name, state, epoch, revision, layout, boot_id, creator, created_us, changed_us, born_us, qemu_pid, qemu_start_time, qemu_pid_namespace, monitor_path, monitor_device, monitor_inode, peer_pid, peer_uid, peer_gid, monitor_handed_in, baseline, log_path) VALUES
(1, 1, '8f2c7d10-4b6e-4a51-9d3c-000000000001', NULL, 'd1', 'running', 13, 13, 'yajl', '@BOOT@', NULL, 1795931414701985, 1795931420192795, 1795931415060244, 17964, 80374, 4026531836, '@DIR@/s/run/qmp-1', 65024, 10953532, 17964, 0, 0, 0, '{"device":["ide-5632","xenusb-0"],"anonymous":[],"node":[],"chardev":["compat_monitor0","xlstore-cmd"],"object":["pc.ram"],"netdev":[],"drive":[{"id":"ide-5632","file":null}]}', '@DIR@/s/run/qemu-1.log'),
(2, 2, 'a11dea11-0000-4000-8000-000000000001', NULL, 'all-devices', 'running', 2, 2, 'json-c', '@BOOT@', NULL, 1795931419024210, 1795931419983744, 1795931419024210, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL),
(3, 3, '8f2c7d10-4b6e-4a51-9d3c-000000000003', NULL, 'd3', 'running', 10, 10, 'yajl', '@BOOT@', NULL, 1795931420811668, 1795931427849926, 1795931421126914, 18107, 80990, 4026531836, '@DIR@/s/run/qmp-3', 65024, 10953556, 18107, 0, 0, 0, '{"device":["ide-5632","xenusb-0"],"anonymous":[],"node":[],"chardev":["compat_monitor0","xlstore-cmd"],"object":["pc.ram"],"netdev":[],"drive":[{"id":"ide-5632","file":null}]}', '@DIR@/s/run/qemu-3.log'),
(4, 4, '8f2c7d10-4b6e-4a51-9d3c-000000000004', NULL, 'd4', 'destroyed', 8, 8, 'yajl', '@BOOT@', NULL, 1795931422595912, 1795931424550353, 1795931423238875, NULL, 81173, 4026531836, '@DIR@/s/run/qmp-4', 65024, 10953536, 18268, 0, 0, 0, '{"device":["ide-5632","xenusb-0"],"anonymous":[],"node":[],"chardev":["compat_monitor0","xlstore-cmd"],"object":["pc.ram"],"netdev":[],"drive":[{"id":"ide-5632","file":null}]}', '@DIR@/s/run/qemu-4.log'),
(5, 5, '8f2c7d10-4b6e-4a51-9d3c-000000000005', NULL, 'd5', 'running', 6, 6, 'yajl', '@BOOT@', NULL, 1795931425531381, 1795931428278742, 1795931425802652, 18372, 81462, 4026531836, '@DIR@/s/run/qmp-5', 65024, 10953531, 18372, 0, 0, 0, '{"device":["ide-5632","xenusb-0"],"anonymous":[],"node":[],"chardev":["compat_monitor0","xlstore-cmd"],"object":["pc.ram"],"netdev":[],"drive":[{"id":"ide-5632","file":null}]}', '@DIR@/s/run/qemu-5.log'),
(6, 6, '8f2c7d10-4b6e-4a51-9d3c-000000000006', NULL, 'd6', 'creating', 1, 1, 'yajl', '@BOOT@', 14, 1795931426776522, 1795931426776522, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL);

INSERT INTO document_member (domain, rank, key, key_text, text) VALUES
(1, 10, 'c_info', '"c_info"', '{"type":"hvm","name":"d1","domid":4294967295,"uuid":"8f2c7d10-4b6e-4a51-9d3c-000000000001","run_hotplug_scripts":"True"}'),
(1, 20, 'b_info', '"b_info"', '{"max_vcpus":4,"avail_vcpus":[0,1],"max_memkb":2097152,"target_memkb":2097152,"video_memkb":8192,"sched_params":{},"claim_mode":"True","type.hvm":{"vga":{},"vnc":{"enable":"True","listen":"127.0.0.1"},"sdl":{},"spice":{},"serial":"pty","boot":"dc","usb":"True","usbdevice":"tablet","rdm":{}},"arch_arm":{},"arch_x86":{"msr_relaxed":"False"}}'),
(1, 30, 'disks', '"disks"', NULL),
(1, 40, 'nics', '"nics"', NULL),
(1, 50, 'pcidevs', '"pcidevs"', NULL),
(1, 60, 'rdms', '"rdms"', NULL),
(1, 70, 'dtdevs', '"dtdevs"', NULL),
(1, 80, 'vfbs', '"vfbs"', NULL),
(1, 90, 'vkbs', '"vkbs"', NULL),
(1, 100, 'virtios', '"virtios"', NULL),
(1, 110, 'vtpms', '"vtpms"', NULL),
(1, 120, 'p9s', '"p9s"', NULL),
(1, 130, 'pvcallsifs', '"pvcallsifs"', NULL),
(1, 140, 'vdispls', '"vdispls"', NULL),
(1, 150, 'vsnds', '"vsnds"', NULL),
(1, 160, 'channels', '"channels"', NULL),
(1, 170, 'usbctrls', '"usbctrls"', NULL),
(1, 180, 'usbdevs', '"usbdevs"', NULL),
(1, 190, 'on_reboot', '"on_reboot"', '"restart"'),
(1, 200, 'on_crash', '"on_crash"', '"restart"'),
(1, 210, 'on_soft_reset', '"on_soft_reset"', '"soft_reset"'),
(2, 10, 'c_info', '"c_info"', '{"type":"hvm","hap":"True","name":"all-devices","uuid":"a11dea11-0000-4000-8000-000000000001","xsdata":{"vm-data\/key1":"v1","vm-data\/key2":null},"platformdata":{"acpi":"1"},"driver_domain":"False"}'),
(2, 20, 'b_info', '"b_info"', '{"max_vcpus":8,"avail_vcpus":[0,3],"numa_placement":"False","max_memkb":8388608,"target_memkb":4194304,"video_memkb":16384,"shadow_memkb":40960,"cpuid":{"cpuid":[{"leaf":1,"edx":"xxx0xxxxxxxxxxxxxxxxxxxxxxxxxxxx"}],"msr":[]},"vnuma_nodes":[{"memkb":2097152,"distances":[10,20],"vcpus":[0]},{"memkb":2097152,"distances":[20,10],"vcpus":[4]}],"extra_hvm":["-msg","timestamp=on"],"sched_params":{"weight":512},"ioports":[{"first":760,"number":8}],"irqs":[3],"timer_mode":"one_missed_tick_pending","type.hvm":{"bios":"ovmf","viridian":"True","vga":{"kind":"std"},"vnc":{},"sdl":{},"spice":{},"ms_vm_genid":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15],"rdm":{"strategy":"host","policy":"relaxed"}},"arch_arm":{},"arch_x86":{}}'),
(2, 30, 'disks', '"disks"', NULL),
(2, 40, 'nics', '"nics"', NULL),
(2, 50, 'pcidevs', '"pcidevs"', NULL),
(2, 60, 'rdms', '"rdms"', NULL),
(2, 70, 'dtdevs', '"dtdevs"', NULL),
(2, 80, 'vfbs', '"vfbs"', NULL),
(2, 90, 'vkbs', '"vkbs"', NULL),
(2, 100, 'virtios', '"virtios"', NULL),
(2, 110, 'vtpms', '"vtpms"', NULL),
(2, 120, 'p9s', '"p9s"', NULL),
(2, 130, 'pvcallsifs', '"pvcallsifs"', NULL),
(2, 140, 'vdispls', '"vdispls"', NULL),
(2, 150, 'vsnds', '"vsnds"', NULL),
(2, 160, 'channels', '"channels"', NULL),
(2, 170, 'usbctrls', '"usbctrls"', NULL),
(2, 180, 'usbdevs', '"usbdevs"', NULL),
(2, 190, 'on_reboot', '"on_reboot"', '"restart"'),
(2, 200, 'on_crash', '"on_crash"', '"preserve"'),
(3, 10, 'c_info', '"c_info"', '{"type":"hvm","name":"d3","domid":4294967295,"uuid":"8f2c7d10-4b6e-4a51-9d3c-000000000003","run_hotplug_scripts":"True"}'),
(3, 20, 'b_info', '"b_info"', '{"max_vcpus":4,"avail_vcpus":[0,1],"max_memkb":2097152,"target_memkb":2097152,"video_memkb":8192,"sched_params":{},"claim_mode":"True","type.hvm":{"vga":{},"vnc":{"enable":"True","listen":"127.0.0.1"},"sdl":{},"spice":{},"serial":"pty","boot":"dc","usb":"True","usbdevice":"tablet","rdm":{}},"arch_arm":{},"arch_x86":{"msr_relaxed":"False"}}'),
(3, 30, 'disks', '"disks"', NULL),
(3, 40, 'nics', '"nics"', NULL),
(3, 50, 'pcidevs', '"pcidevs"', NULL),
(3, 60, 'rdms', '"rdms"', NULL),
(3, 70, 'dtdevs', '"dtdevs"', NULL),
(3, 80, 'vfbs', '"vfbs"', NULL),
(3, 90, 'vkbs', '"vkbs"', NULL),
(3, 100, 'virtios', '"virtios"', NULL),
(3, 110, 'vtpms', '"vtpms"', NULL),
(3, 120, 'p9s', '"p9s"', NULL),
(3, 130, 'pvcallsifs', '"pvcallsifs"', NULL),
(3, 140, 'vdispls', '"vdispls"', NULL),
(3, 150, 'vsnds', '"vsnds"', NULL),
(3, 160, 'channels', '"channels"', NULL),
(3, 170, 'usbctrls', '"usbctrls"', NULL),
(3, 180, 'usbdevs', '"usbdevs"', NULL),
(3, 190, 'on_reboot', '"on_reboot"', '"restart"'),
(3, 200, 'on_crash', '"on_crash"', '"restart"'),
(3, 210, 'on_soft_reset', '"on_soft_reset"', '"soft_reset"'),
(5, 10, 'c_info', '"c_info"', '{"type":"hvm","name":"d5","domid":4294967295,"uuid":"8f2c7d10-4b6e-4a51-9d3c-000000000005","run_hotplug_scripts":"True"}'),
(5, 20, 'b_info', '"b_info"', '{"max_vcpus":4,"avail_vcpus":[0,1],"max_memkb":2097152,"target_memkb":2097152,"video_memkb":8192,"sched_params":{},"claim_mode":"True","type.hvm":{"vga":{},"vnc":{"enable":"True","listen":"127.0.0.1"},"sdl":{},"spice":{},"serial":"pty","boot":"dc","usb":"True","usbdevice":"tablet","rdm":{}},"arch_arm":{},"arch_x86":{"msr_relaxed":"False"}}'),
(5, 30, 'disks', '"disks"', NULL),
(5, 40, 'nics', '"nics"', NULL),
(5, 50, 'pcidevs', '"pcidevs"', NULL),
(5, 60, 'rdms', '"rdms"', NULL),
(5, 70, 'dtdevs', '"dtdevs"', NULL),
(5, 80, 'vfbs', '"vfbs"', NULL),
(5, 90, 'vkbs', '"vkbs"', NULL),
(5, 100, 'virtios', '"virtios"', NULL),
(5, 110, 'vtpms', '"vtpms"', NULL),
(5, 120, 'p9s', '"p9s"', NULL),
(5, 130, 'pvcallsifs', '"pvcallsifs"', NULL),
(5, 140, 'vdispls', '"vdispls"', NULL),
(5, 150, 'vsnds', '"vsnds"', NULL),
(5, 160, 'channels', '"channels"', NULL),
(5, 170, 'usbctrls', '"usbctrls"', NULL),
(5, 180, 'usbdevs', '"usbdevs"', NULL),
(5, 190, 'on_reboot', '"on_reboot"', '"restart"'),
(5, 200, 'on_crash', '"on_crash"', '"restart"'),
(5, 210, 'on_soft_reset', '"on_soft_reset"', '"soft_reset"'),
(6, 10, 'c_info', '"c_info"', '{"type":"hvm","name":"d6","domid":4294967295,"uuid":"8f2c7d10-4b6e-4a51-9d3c-000000000006","run_hotplug_scripts":"True"}'),
(6, 20, 'b_info', '"b_info"', '{"max_vcpus":4,"avail_vcpus":[0,1],"max_memkb":2097152,"target_memkb":2097152,"video_memkb":8192,"sched_params":{},"claim_mode":"True","type.hvm":{"vga":{},"vnc":{"enable":"True","listen":"127.0.0.1"},"sdl":{},"spice":{},"serial":"pty","boot":"dc","usb":"True","usbdevice":"tablet","rdm":{}},"arch_arm":{},"arch_x86":{"msr_relaxed":"False"}}'),
(6, 30, 'disks', '"disks"', NULL),
(6, 40, 'nics', '"nics"', NULL),
(6, 50, 'pcidevs', '"pcidevs"', NULL),
(6, 60, 'rdms', '"rdms"', NULL),
(6, 70, 'dtdevs', '"dtdevs"', NULL),
(6, 80, 'vfbs', '"vfbs"', NULL),
(6, 90, 'vkbs', '"vkbs"', NULL),
(6, 100, 'virtios', '"virtios"', NULL),
(6, 110, 'vtpms', '"vtpms"', NULL),
(6, 120, 'p9s', '"p9s"', NULL),
(6, 130, 'pvcallsifs', '"pvcallsifs"', NULL),
(6, 140, 'vdispls', '"vdispls"', NULL),
(6, 150, 'vsnds', '"vsnds"', NULL),
(6, 160, 'channels', '"channels"', NULL),
(6, 170, 'usbctrls', '"usbctrls"', NULL),
(6, 180, 'usbdevs', '"usbdevs"', NULL),
(6, 190, 'on_reboot', '"on_reboot"', '"restart"'),
(6, 200, 'on_crash', '"on_crash"', '"restart"'),
(6, 210, 'on_soft_reset', '"on_soft_reset"', '"soft_reset"');

INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES
(1, 1, 'disks', 'xvda', 0, 'xenstore', 'present', '{"pdev_path":"/srv/xen/web01.qcow2","vdev":"xvda","format":"qcow2","readwrite":1,"colo_restore_enable":"False"}', 1795931415059176),
(2, 1, 'disks', 'hdc', 1, 'qemu', 'present', '{"pdev_path":"@DIR@/a.img","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1,"colo_restore_enable":"False"}', 1795931415758034),
(3, 1, 'nics', '0', 0, 'xenstore', 'present', '{"devid":0,"model":"e1000","mac":"00:16:3e:1a:2b:3c","bridge":"xenbr0","nictype":"vif_ioemu"}', 1795931415059421),
(4, 1, 'vfbs', '#0', 0, 'xenstore', 'present', '{"devid":0,"vnc":{"enable":"True","findunused":"True"},"sdl":{}}', 1795931415059771),
(5, 1, 'vkbs', '#0', 0, 'xenstore', 'present', '{"devid":0}', 1795931415059863),
(6, 1, 'usbctrls', '0', 0, 'qemu', 'present', '{"type":"devicemodel","devid":0,"version":2,"ports":6}', 1795931415059506),
(7, 1, 'qemu', 'gone', 0, 'qemu', 'stale', '{"key":"gone","steps":[{"execute":"device_add","arguments":{"driver":"usb-tablet","id":"gone","bus":"xenusb-0.0"}}]}', 1795931420193379),
(8, 1, 'qemu', 'here', 1, 'qemu', 'present', '{"key":"here","steps":[{"execute":"device_add","arguments":{"driver":"usb-tablet","id":"here","bus":"xenusb-0.0"}}]}', 1795931418439334),
(9, 2, 'disks', 'hda', 0, 'xenstore', 'present', '{"pdev_path":"\/dev\/vg\/root","vdev":"hda","backend":"phy","format":"raw","script":"block-iscsi","readwrite":1,"discard_enable":"True"}', 1795931419024558),
(10, 2, 'disks', 'hdc', 1, 'qemu', 'present', '{"pdev_path":"","vdev":"hdc","backend":"qdisk","format":"empty","removable":1,"is_cdrom":1}', 1795931419024714),
(11, 2, 'disks', 'xvdz', 2, 'xenstore', 'present', '{"backend_domid":3,"backend_domname":"storage-dom","pdev_path":"tank\/vol","vdev":"xvdz","format":"raw","direct_io_safe":true}', 1795931419024855),
(12, 2, 'nics', '0', 0, 'xenstore', 'present', '{"devid":0,"mtu":9000,"model":"e1000","mac":"00:16:3e:00:00:fe","bridge":"xenbr0","nictype":"vif_ioemu","rate_bytes_per_interval":18446744073709551615,"rate_interval_usecs":50000}', 1795931419024982),
(13, 2, 'nics', '#1', 1, 'xenstore', 'present', '{"trusted":"False"}', 1795931419117294),
(14, 2, 'pcidevs', '0001:03:1f.7', 0, 'qemu', 'present', '{"func":7,"dev":31,"bus":3,"domain":1,"vfunc_mask":128,"msitranslate":true,"seize":true,"rdm_policy":"strict","name":"gpu0"}', 1795931419117462),
(15, 2, 'pcidevs', '0000:00:00.0', 1, 'qemu', 'present', '{}', 1795931419117592),
(16, 2, 'rdms', '#0', 0, 'none', 'present', '{"start":2902458368,"size":131072,"policy":"relaxed"}', 1795931419117743),
(17, 2, 'dtdevs', '#0', 0, 'none', 'present', '{"path":"\/soc\/ethernet@1"}', 1795931419117890),
(18, 2, 'vfbs', '#0', 0, 'xenstore', 'present', '{"devid":0,"vnc":{"enable":"True","passwd":"secret","display":5},"sdl":{"enable":"False"}}', 1795931419118010),
(19, 2, 'vkbs', '#0', 0, 'xenstore', 'present', '{"devid":0,"backend_type":"linux","unique_id":"kbd-0","feature_multi_touch":true,"width":1280,"height":800}', 1795931419118144),
(20, 2, 'vtpms', '0', 0, 'xenstore', 'present', '{"devid":0,"uuid":"11111111-2222-3333-4444-555555555555"}', 1795931419118323),
(21, 2, 'p9s', '#0', 0, 'xenstore', 'present', '{"tag":"share","path":"\/srv\/share","security_model":"none","devid":0}', 1795931419118562),
(22, 2, 'pvcallsifs', '#0', 0, 'xenstore', 'present', '{"devid":0}', 1795931419118689),
(23, 2, 'vdispls', '0', 0, 'xenstore', 'present', '{"devid":0,"be_alloc":true,"connectors":[{"unique_id":"conn0","width":1920,"height":1080}]}', 1795931419118820),
(24, 2, 'vsnds', '0', 0, 'xenstore', 'present', '{"devid":0,"short_name":"card","params":{"sample_rates":[44100,48000]},"pcms":[{"name":"pcm0","params":{},"streams":[{"unique_id":"s0","type":"p","params":{}}]}]}', 1795931419118942),
(25, 2, 'channels', '#0', 0, 'xenstore', 'present', '{"devid":0,"name":"org.a","connection.pty":{}}', 1795931419119066),
(26, 2, 'channels', '#1', 1, 'xenstore', 'present', '{"devid":1,"name":"org.b","connection.socket":{"path":"\/run\/b.sock"}}', 1795931419119196),
(27, 2, 'usbctrls', '0', 0, 'qemu', 'present', '{"type":"devicemodel","devid":0,"version":3,"ports":15}', 1795931419119400),
(28, 2, 'usbctrls', '1', 1, 'xenstore', 'present', '{"type":"qusb","devid":1,"version":2,"ports":8}', 1795931419119522),
(29, 2, 'usbdevs', '0.1', 0, 'qemu', 'present', '{"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":4}}', 1795931419119661),
(30, 2, 'usbdevs', '1.2', 1, 'qemu', 'present', '{"ctrl":1,"port":2}', 1795931419119777),
(31, 3, 'disks', 'xvda', 0, 'xenstore', 'present', '{"pdev_path":"/srv/xen/web01.qcow2","vdev":"xvda","format":"qcow2","readwrite":1,"colo_restore_enable":"False"}', 1795931421125847),
(32, 3, 'disks', 'hdc', 1, 'qemu', 'changing', '{"pdev_path":"@DIR@/b.img","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1,"colo_restore_enable":"False"}', 1795931427294103),
(33, 3, 'nics', '0', 0, 'xenstore', 'present', '{"devid":0,"model":"e1000","mac":"00:16:3e:1a:2b:3c","bridge":"xenbr0","nictype":"vif_ioemu"}', 1795931421126101),
(34, 3, 'vfbs', '#0', 0, 'xenstore', 'present', '{"devid":0,"vnc":{"enable":"True","findunused":"True"},"sdl":{}}', 1795931421126449),
(35, 3, 'vkbs', '#0', 0, 'xenstore', 'present', '{"devid":0}', 1795931421126535),
(36, 3, 'usbctrls', '0', 0, 'qemu', 'present', '{"type":"devicemodel","devid":0,"version":2,"ports":6}', 1795931421126194),
(43, 5, 'disks', 'xvda', 0, 'xenstore', 'present', '{"pdev_path":"/srv/xen/web01.qcow2","vdev":"xvda","format":"qcow2","readwrite":1,"colo_restore_enable":"False"}', 1795931425801557),
(44, 5, 'disks', 'hdc', 1, 'qemu', 'present', '{"pdev_path":"","vdev":"hdc","format":"empty","removable":1,"is_cdrom":1,"colo_restore_enable":"False"}', 1795931425801664),
(45, 5, 'nics', '0', 0, 'xenstore', 'present', '{"devid":0,"model":"e1000","mac":"00:16:3e:1a:2b:3c","bridge":"xenbr0","nictype":"vif_ioemu"}', 1795931425801806),
(46, 5, 'vfbs', '#0', 0, 'xenstore', 'present', '{"devid":0,"vnc":{"enable":"True","findunused":"True"},"sdl":{}}', 1795931425802187),
(47, 5, 'vkbs', '#0', 0, 'xenstore', 'present', '{"devid":0}', 1795931425802281),
(48, 5, 'usbctrls', '0', 0, 'qemu', 'present', '{"type":"devicemodel","devid":0,"version":2,"ports":6}', 1795931425801906),
(49, 6, 'disks', 'xvda', 0, 'xenstore', 'adding', '{"pdev_path":"/srv/xen/web01.qcow2","vdev":"xvda","format":"qcow2","readwrite":1,"colo_restore_enable":"False"}', 1795931426776873),
(50, 6, 'disks', 'hdc', 1, 'qemu', 'adding', '{"pdev_path":"","vdev":"hdc","format":"empty","removable":1,"is_cdrom":1,"colo_restore_enable":"False"}', 1795931426809127),
(51, 6, 'nics', '0', 0, 'xenstore', 'adding', '{"devid":0,"model":"e1000","mac":"00:16:3e:1a:2b:3c","bridge":"xenbr0","nictype":"vif_ioemu"}', 1795931426809302),
(52, 6, 'vfbs', '#0', 0, 'xenstore', 'adding', '{"devid":0,"vnc":{"enable":"True","findunused":"True"},"sdl":{}}', 1795931426809457),
(53, 6, 'vkbs', '#0', 0, 'xenstore', 'adding', '{"devid":0}', 1795931426809600),
(54, 6, 'usbctrls', '0', 0, 'qemu', 'adding', '{"type":"devicemodel","devid":0,"version":2,"ports":6}', 1795931426809733),
(55, 3, 'qemu', 'half', 0, 'qemu', 'adding', '{"key":"half","steps":[{"execute":"device_add","arguments":{"driver":"usb-tablet","id":"half","bus":"xenusb-0.0"}}]}', 1795931427850224);

INSERT INTO product (domain, kind, name, thing) VALUES
(1, 'device', 'xenusb-0', 6),
(1, 'device', 'here', 8),
(3, 'device', 'xenusb-0', 36),
(5, 'device', 'xenusb-0', 48),
(3, 'device', 'half', 55);

INSERT INTO intent (id, domain, thing, batch, owner, operation, image_before, image_after, image_neither, image_stale, plan, probe, monitor_path, epoch, opened_us, asked_us, note) VALUES
(6, 3, 32, NULL, 15, 'change', '{"pdev_path":"@DIR@/a.img","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1,"colo_restore_enable":"False"}', '{"pdev_path":"@DIR@/b.img","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1,"colo_restore_enable":"False"}', '{"pdev_path":"","vdev":"hdc","format":"empty","removable":1,"is_cdrom":1,"colo_restore_enable":"False"}', NULL, '[{"execute":"query-version"},{"execute":"eject","arguments":{"id":"ide-5632"}},{"execute":"add-fd","arguments":{"opaque":"raw:@DIR@/b.img"},"undo":{"execute":"remove-fd","arguments":{"fdset-id":"$fdset"}},"file":"@DIR@/b.img","capture":"fdset"},{"execute":"blockdev-change-medium","arguments":{"id":"ide-5632","filename":"/dev/fdset/$fdset","format":"raw"}}]', '{"products":[],"drive":{"id":"ide-5632","before":"raw:@DIR@/a.img","after":"raw:@DIR@/b.img","seen":"/dev/fdset/0"}}', '@DIR@/s/run/qmp-3', 8, 1795931427294604, NULL, ''),
(7, 3, 55, NULL, 16, 'add', NULL, '{"key":"half","steps":[{"execute":"device_add","arguments":{"driver":"usb-tablet","id":"half","bus":"xenusb-0.0"}}]}', NULL, NULL, '[{"execute":"device_add","arguments":{"driver":"usb-tablet","id":"half","bus":"xenusb-0.0"},"undo":{"execute":"device_del","arguments":{"id":"half"}}}]', '{"products":[{"kind":"device","name":"half","undo":{"execute":"device_del","arguments":{"id":"half"}}}]}', '@DIR@/s/run/qmp-3', 9, 1795931427850834, NULL, '');

INSERT INTO set_aside (id, at_us, domain, what, why, text) VALUES
(1, 1795931419983956, 2, 'entry usbdevs/1.2', 'its text is not valid JSON at 1:63: while parsing value - unexpected ''{''; expected end of input', '{"ctrl":1,"port":2,"type.hostdev":{"hostbus":1,"hostaddr":5}} {}');

INSERT INTO tombstone (id, domid, uuid, boot_id, until_us) VALUES
(1, 77, '8f2c7d10-4b6e-4a51-9d3c-000000000077', '@BOOT@', 875534437);

INSERT INTO history (id, at_us, domain, domid, operation, class, key, intent, outcome, image, asked, evidence, pid, program) VALUES
(1, 1795931415060412, 1, 1, 'create', NULL, NULL, NULL, 'done', NULL, NULL, 'QEMU 17964 answers at @DIR@/s/run/qmp-1', 17937, 'xlstore'),
(2, 1795931415758244, 1, 1, 'change', 'disks', 'hdc', 1, 'done', 'after', 'query-version eject add-fd blockdev-change-medium', 'QEMU acknowledged each of 4 steps', 17983, 'xlstore'),
(3, 1795931416458430, 1, 1, 'add', 'qemu', 'gone', 2, 'done', 'after', 'device_add', 'QEMU acknowledged each of 1 steps', 17986, 'xlstore'),
(4, 1795931418439471, 1, 1, 'add', 'qemu', 'here', 3, 'done', 'after', 'device_add', 'QEMU acknowledged each of 1 steps', 18031, 'xlstore'),
(5, 1795931419120080, 2, 2, 'import', NULL, NULL, NULL, 'done', NULL, NULL, 'document json_c.json', 18039, 'xlstore'),
(6, 1795931419984342, 2, 2, 'repair document', NULL, NULL, NULL, 'done', NULL, NULL, 'domain 2 (all-devices): usbdevs/1.2: its text is not valid JSON at 1:63: while parsing value - unexpected ''{''; expected end of input', 18051, 'xlfsck'),
(7, 1795931420193636, 1, 1, 'make stale', 'qemu', 'gone', NULL, 'done', NULL, NULL, 'QEMU has no device "gone"', 18051, 'xlfsck'),
(8, 1795931421127058, 3, 3, 'create', NULL, NULL, NULL, 'done', NULL, NULL, 'QEMU 18107 answers at @DIR@/s/run/qmp-3', 18077, 'xlstore'),
(9, 1795931421948005, 3, 3, 'change', 'disks', 'hdc', 4, 'done', 'after', 'query-version eject add-fd blockdev-change-medium', 'QEMU acknowledged each of 4 steps', 18192, 'xlstore'),
(10, 1795931423239031, 4, 4, 'create', NULL, NULL, NULL, 'done', NULL, NULL, 'QEMU 18268 answers at @DIR@/s/run/qmp-4', 18246, 'xlstore'),
(11, 1795931423821946, 4, 4, 'change', 'disks', 'hdc', 5, 'done', 'after', 'query-version eject add-fd blockdev-change-medium', 'QEMU acknowledged each of 4 steps', 18279, 'xlstore'),
(12, 1795931424530068, 4, 4, 'destroy', NULL, NULL, NULL, 'begun', NULL, NULL, '', 18316, 'xlstore'),
(13, 1795931424550444, 4, 4, 'destroy', NULL, NULL, NULL, 'done', NULL, NULL, 'QEMU is dead; the document went last', 18316, 'xlstore'),
(14, 1795931425817217, 5, 5, 'create', NULL, NULL, NULL, 'done', NULL, NULL, 'QEMU 18372 answers at @DIR@/s/run/qmp-5', 18350, 'xlstore'),
(15, 1795931426495605, NULL, NULL, 'destroy', NULL, NULL, NULL, 'done', NULL, NULL, 'no row of domid 77: a tombstone was left', 18383, 'xlstore'),
(16, 1795931428278957, 5, 5, 'destroy', NULL, NULL, NULL, 'begun', NULL, NULL, '', 18416, 'xlstore');

-- R8: its document comes first.
UPDATE domain SET state = 'destroying' WHERE id = 5;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence (name, seq) VALUES
('session', 17),
('domain', 6),
('thing', 55),
('history', 16),
('intent', 7),
('set_aside', 1),
('tombstone', 1);
