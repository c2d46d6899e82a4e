#!/bin/bash

__sluicectl_cursor_index_in_current_word() {
    local remaining="${COMP_LINE}"

    local word
    for word in "${COMP_WORDS[@]::COMP_CWORD}"; do
        remaining="${remaining##*([[:space:]])"${word}"*([[:space:]])}"
    done

    local -ir index="$((COMP_POINT - ${#COMP_LINE} + ${#remaining}))"
    if [[ "${index}" -le 0 ]]; then
        printf 0
    else
        printf %s "${index}"
    fi
}

# positional arguments:
#
# - 1: the current (sub)command's count of positional arguments
#
# required variables:
#
# - repeating_flags: the repeating flags that the current (sub)command can accept
# - non_repeating_flags: the non-repeating flags that the current (sub)command can accept
# - repeating_options: the repeating options that the current (sub)command can accept
# - non_repeating_options: the non-repeating options that the current (sub)command can accept
# - positional_number: value ignored
# - unparsed_words: unparsed words from the current command line
#
# modified variables:
#
# - non_repeating_flags: remove flags for this (sub)command that are already on the command line
# - non_repeating_options: remove options for this (sub)command that are already on the command line
# - positional_number: set to the current positional number
# - unparsed_words: remove all flags, options, and option values for this (sub)command
__sluicectl_offer_flags_options() {
    local -ir positional_count="${1}"
    positional_number=0

    local was_flag_option_terminator_seen=false
    local is_parsing_option_value=false

    local -ar unparsed_word_indices=("${!unparsed_words[@]}")
    local -i word_index
    for word_index in "${unparsed_word_indices[@]}"; do
        if "${is_parsing_option_value}"; then
            # This word is an option value:
            # Reset marker for next word iff not currently the last word
            [[ "${word_index}" -ne "${unparsed_word_indices[${#unparsed_word_indices[@]} - 1]}" ]] && is_parsing_option_value=false
            unset "unparsed_words[${word_index}]"
            # Do not process this word as a flag or an option
            continue
        fi

        local word="${unparsed_words["${word_index}"]}"
        if ! "${was_flag_option_terminator_seen}"; then
            case "${word}" in
            --)
                unset "unparsed_words[${word_index}]"
                # by itself -- is a flag/option terminator, but if it is the last word, it is the start of a completion
                if [[ "${word_index}" -ne "${unparsed_word_indices[${#unparsed_word_indices[@]} - 1]}" ]]; then
                    was_flag_option_terminator_seen=true
                fi
                continue
                ;;
            -*)
                # ${word} is a flag or an option
                # If ${word} is an option, mark that the next word to be parsed is an option value
                local option
                for option in "${repeating_options[@]}" "${non_repeating_options[@]}"; do
                    [[ "${word}" = "${option}" ]] && is_parsing_option_value=true && break
                done

                # Remove ${word} from ${non_repeating_flags} or ${non_repeating_options} so it isn't offered again
                local not_found=true
                local -i index
                for index in "${!non_repeating_flags[@]}"; do
                    if [[ "${non_repeating_flags[${index}]}" = "${word}" ]]; then
                        unset "non_repeating_flags[${index}]"
                        non_repeating_flags=("${non_repeating_flags[@]}")
                        not_found=false
                        break
                    fi
                done
                if "${not_found}"; then
                    for index in "${!non_repeating_flags[@]}"; do
                        if [[ "${non_repeating_flags[${index}]}" = "${word}" ]]; then
                            unset "non_repeating_flags[${index}]"
                            non_repeating_flags=("${non_repeating_flags[@]}")
                            break
                        fi
                    done
                fi
                unset "unparsed_words[${word_index}]"
                continue
                ;;
            esac
        fi

        # ${word} is neither a flag, nor an option, nor an option value
        if [[ "${positional_number}" -lt "${positional_count}" || "${positional_count}" -lt 0 ]]; then
            # ${word} is a positional
            ((positional_number++))
            unset "unparsed_words[${word_index}]"
        else
            if [[ -z "${word}" ]]; then
                # Could be completing a flag, option, or subcommand
                positional_number=-1
            else
                # ${word} is a subcommand or invalid, so stop processing this (sub)command
                positional_number=-2
            fi
            break
        fi
    done

    unparsed_words=("${unparsed_words[@]}")

    if\
        ! "${was_flag_option_terminator_seen}"\
        && ! "${is_parsing_option_value}"\
        && [[ ("${cur}" = -* && "${positional_number}" -ge 0) || "${positional_number}" -eq -1 ]]
    then
        COMPREPLY+=($(compgen -W "${repeating_flags[*]} ${non_repeating_flags[*]} ${repeating_options[*]} ${non_repeating_options[*]}" -- "${cur}"))
    fi
}

__sluicectl_add_completions() {
    local completion
    while IFS='' read -r completion; do
        COMPREPLY+=("${completion}")
    done < <(IFS=$'\n' compgen "${@}" -- "${cur}")
}

__sluicectl_custom_complete() {
    if [[ -n "${cur}" || -z ${COMP_WORDS[${COMP_CWORD}]} || "${COMP_LINE:${COMP_POINT}:1}" != ' ' ]]; then
        local -ar words=("${COMP_WORDS[@]}")
    else
        local -ar words=("${COMP_WORDS[@]::${COMP_CWORD}}" '' "${COMP_WORDS[@]:${COMP_CWORD}}")
    fi

    "${COMP_WORDS[0]}" "${@}" "${words[@]}"
}

_sluicectl() {
    local state
    state="$(shopt -p;shopt -po)"
    trap "${state//$'\n'/;}" RETURN
    shopt -s extglob
    set +o history +o posix

    local -xr SAP_SHELL=bash
    local -x SAP_SHELL_VERSION
    SAP_SHELL_VERSION="$(IFS='.';printf %s "${BASH_VERSINFO[*]}")"
    local -r SAP_SHELL_VERSION

    local -r cur="${2}"
    local -r prev="${3}"

    local -i positional_number
    local -a unparsed_words=("${COMP_WORDS[@]:1:${COMP_CWORD}}")

    local -a repeating_flags=()
    local -a non_repeating_flags=(--version -h --help)
    local -a repeating_options=()
    local -a non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    status|agent|port|rule|group|meter|flow|top|trace|kernel|doctor|monitor|deny|limit|worker|fdb|version|completion|help)
        # Offer subcommand argument completions
        "_sluicectl_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'status agent port rule group meter flow top trace kernel doctor monitor deny limit worker fdb version completion help' -- "${cur}"))
        ;;
    esac
}

_sluicectl_status() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_agent() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    drain|resume|uninstall)
        # Offer subcommand argument completions
        "_sluicectl_agent_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'drain resume uninstall' -- "${cur}"))
        ;;
    esac
}

_sluicectl_agent_drain() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_agent_resume() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_agent_uninstall() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_port() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    add|del|list|show)
        # Offer subcommand argument completions
        "_sluicectl_port_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'add del list show' -- "${cur}"))
        ;;
    esac
}

_sluicectl_port_add() {
    repeating_flags=()
    non_repeating_flags=(--internal --version -h --help)
    repeating_options=()
    non_repeating_options=(--interface --mode --number --queues --kernel --hook --socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--interface')
        return
        ;;
    '--mode')
        __sluicectl_add_completions -W 'dedicated'$'\n''shared'
        return
        ;;
    '--number')
        return
        ;;
    '--queues')
        return
        ;;
    '--kernel')
        __sluicectl_add_completions -W 'off'$'\n''auto'$'\n''eager'
        return
        ;;
    '--hook')
        __sluicectl_add_completions -W 'auto'$'\n''xdp'$'\n''tc'
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_port_del() {
    repeating_flags=()
    non_repeating_flags=(--if-exists --version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_port_list() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_port_show() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_rule() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    add|mod|del|list|diff|replace|bundle)
        # Offer subcommand argument completions
        "_sluicectl_rule_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'add mod del list diff replace bundle' -- "${cur}"))
        ;;
    esac
}

_sluicectl_rule_add() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_rule_mod() {
    repeating_flags=()
    non_repeating_flags=(--strict --version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_rule_del() {
    repeating_flags=()
    non_repeating_flags=(--strict --all --version -h --help)
    repeating_options=()
    non_repeating_options=(--cookie --socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--cookie')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_rule_list() {
    repeating_flags=()
    non_repeating_flags=(--strict --plain --stats --version -h --help)
    repeating_options=()
    non_repeating_options=(--cookie --socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--cookie')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_rule_diff() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_rule_replace() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_rule_bundle() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_group() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    add|mod|del|list)
        # Offer subcommand argument completions
        "_sluicectl_group_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'add mod del list' -- "${cur}"))
        ;;
    esac
}

_sluicectl_group_add() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_group_mod() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_group_del() {
    repeating_flags=()
    non_repeating_flags=(--all --version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_group_list() {
    repeating_flags=()
    non_repeating_flags=(--plain --stats --version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_meter() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    add|mod|del|list)
        # Offer subcommand argument completions
        "_sluicectl_meter_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'add mod del list' -- "${cur}"))
        ;;
    esac
}

_sluicectl_meter_add() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_meter_mod() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_meter_del() {
    repeating_flags=()
    non_repeating_flags=(--all --version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_meter_list() {
    repeating_flags=()
    non_repeating_flags=(--plain --stats --version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_flow() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    list|why|summary|purge)
        # Offer subcommand argument completions
        "_sluicectl_flow_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'list why summary purge' -- "${cur}"))
        ;;
    esac
}

_sluicectl_flow_list() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--port --table --cookie --limit --socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--port')
        return
        ;;
    '--table')
        return
        ;;
    '--cookie')
        return
        ;;
    '--limit')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_flow_why() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_flow_summary() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_flow_purge() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_top() {
    repeating_flags=()
    non_repeating_flags=(--once --version -h --help)
    repeating_options=()
    non_repeating_options=(-n --sort --interval --socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '-n')
        return
        ;;
    '--sort')
        __sluicectl_add_completions -W 'packets'$'\n''bytes'
        return
        ;;
    '--interval')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_trace() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--in-port --socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--in-port')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_kernel() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    show)
        # Offer subcommand argument completions
        "_sluicectl_kernel_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'show' -- "${cur}"))
        ;;
    esac
}

_sluicectl_kernel_show() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_doctor() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_monitor() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--sample --count --socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--sample')
        return
        ;;
    '--count')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac

    # Offer positional completions
    case "${positional_number}" in
    *)
        __sluicectl_add_completions -W 'drops'$'\n''flows'$'\n''ports'$'\n''packets'$'\n''rules'$'\n''samples'
        return
        ;;
    esac
}

_sluicectl_deny() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    add|del|list)
        # Offer subcommand argument completions
        "_sluicectl_deny_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'add del list' -- "${cur}"))
        ;;
    esac
}

_sluicectl_deny_add() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=(--tuple)
    non_repeating_options=(--file --socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--tuple')
        return
        ;;
    '--file')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_deny_del() {
    repeating_flags=()
    non_repeating_flags=(--if-exists --version -h --help)
    repeating_options=(--tuple)
    non_repeating_options=(--file --socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--tuple')
        return
        ;;
    '--file')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_deny_list() {
    repeating_flags=()
    non_repeating_flags=(--plain --version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_limit() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    add|del|list)
        # Offer subcommand argument completions
        "_sluicectl_limit_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'add del list' -- "${cur}"))
        ;;
    esac
}

_sluicectl_limit_add() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--rate --burst --file --socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--rate')
        return
        ;;
    '--burst')
        return
        ;;
    '--file')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_limit_del() {
    repeating_flags=()
    non_repeating_flags=(--if-exists --version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options -1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_limit_list() {
    repeating_flags=()
    non_repeating_flags=(--plain --version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_worker() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    show)
        # Offer subcommand argument completions
        "_sluicectl_worker_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'show' -- "${cur}"))
        ;;
    esac
}

_sluicectl_worker_show() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 1

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_fdb() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 0

    # Offer subcommand / subcommand argument completions
    local -r subcommand="${unparsed_words[0]}"
    unset 'unparsed_words[0]'
    unparsed_words=("${unparsed_words[@]}")
    case "${subcommand}" in
    list|flush)
        # Offer subcommand argument completions
        "_sluicectl_fdb_${subcommand}"
        ;;
    *)
        # Offer subcommand completions
        COMPREPLY+=($(compgen -W 'list flush' -- "${cur}"))
        ;;
    esac
}

_sluicectl_fdb_list() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_fdb_flush() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--port --socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--port')
        return
        ;;
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_version() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=(--socket -o --output --timeout)
    __sluicectl_offer_flags_options 0

    # Offer option value completions
    case "${prev}" in
    '--socket')
        return
        ;;
    '-o'|'--output')
        __sluicectl_add_completions -W 'table'$'\n''json'
        return
        ;;
    '--timeout')
        return
        ;;
    esac
}

_sluicectl_completion() {
    repeating_flags=()
    non_repeating_flags=(--version -h --help)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options 1

    # Offer positional completions
    case "${positional_number}" in
    1)
        __sluicectl_add_completions -W 'bash'$'\n''zsh'$'\n''fish'
        return
        ;;
    esac
}

_sluicectl_help() {
    repeating_flags=()
    non_repeating_flags=(--version)
    repeating_options=()
    non_repeating_options=()
    __sluicectl_offer_flags_options -1
}

complete -o filenames -F _sluicectl sluicectl
