# SPDX-License-Identifier: MIT
# Completion of xlj for bash: that of xl, which comes with Xen's tools; behind --run that of the program named there.
_xlj() {
    if [[ ${COMP_WORDS[1]-} == --run && $COMP_CWORD -gt 1 ]]; then
        _command_offset 2
        return
    fi
    COMPREPLY=()
    declare -F _xl >/dev/null || _completion_loader xl
    if declare -F _xl >/dev/null; then _xl; fi
    if [[ $COMP_CWORD == 1 && --run == "${COMP_WORDS[1]-}"* ]]; then COMPREPLY+=(--run); fi
}
complete -F _xlj -o default xlj
