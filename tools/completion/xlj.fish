# SPDX-License-Identifier: MIT
# Completion of xlj for fish: that of xl where there is one, and what 'xl help' lists; behind --run that of the program
# named there.
function __xlj_commands
    xl help 2>/dev/null | string replace -rf '^ ([a-z][a-z0-9-]*) *(.*)$' '$1\t$2'
end
function __xlj_of_xl
    if complete -c xl | string length -q
        set -l words (commandline -opc)
        complete -C "xl $words[2..] $(commandline -ct)"
    end
end
function __xlj_words
    test (count (commandline -opc)) $argv
end
function __xlj_runs
    set -l words (commandline -opc)
    test (count $words) -gt 1 -a "$words[2]" = --run
end
complete -c xlj -n 'not __xlj_runs' -a '(__xlj_of_xl)'
complete -c xlj -n '__xlj_words -eq 1' -f -a '(__xlj_commands)'
complete -c xlj -n '__xlj_words -eq 1' -f -a --run -d 'another program in place of xl'
complete -c xlj -n __xlj_runs -f -a '(__fish_complete_subcommand)'
