function __sluicectl_should_offer_completions_for_flags_or_options -a expected_commands
    set -l non_repeating_flags_or_options $argv[2..]
    set -l non_repeating_flags_or_options_absent 0
    set -l positional_index 0
    set -l commands
    __sluicectl_parse_tokens
    test "$commands" = "$expected_commands"; and return $non_repeating_flags_or_options_absent
end

function __sluicectl_should_offer_completions_for_positional -a expected_commands positional_index_comparison expected_positional_index
    set -l non_repeating_flags_or_options
    set -l non_repeating_flags_or_options_absent 0
    set -l positional_index 0
    set -l commands
    __sluicectl_parse_tokens
    test "$commands" = "$expected_commands" -a \( "$positional_index" "$positional_index_comparison" "$expected_positional_index" \)
end

function __sluicectl_parse_tokens -S
    set -l unparsed_tokens (__sluicectl_tokens -pc)
    switch $unparsed_tokens[1]
    case 'sluicectl'
        __sluicectl_parse_subcommand 0 'version' 'h/help'
        switch $unparsed_tokens[1]
        case 'status'
            __sluicectl_parse_subcommand 0 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
        case 'port'
            __sluicectl_parse_subcommand 0 'version' 'h/help'
            switch $unparsed_tokens[1]
            case 'add'
                __sluicectl_parse_subcommand 1 'interface=' 'internal' 'mode=' 'number=' 'queues=' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'del'
                __sluicectl_parse_subcommand 1 'if-exists' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'list'
                __sluicectl_parse_subcommand 0 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'show'
                __sluicectl_parse_subcommand 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            end
        case 'rule'
            __sluicectl_parse_subcommand 0 'version' 'h/help'
            switch $unparsed_tokens[1]
            case 'add'
                __sluicectl_parse_subcommand -r 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'mod'
                __sluicectl_parse_subcommand -r 1 'strict' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'del'
                __sluicectl_parse_subcommand 1 'strict' 'cookie=' 'all' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'list'
                __sluicectl_parse_subcommand 1 'strict' 'cookie=' 'plain' 'stats' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'diff'
                __sluicectl_parse_subcommand 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'replace'
                __sluicectl_parse_subcommand 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'bundle'
                __sluicectl_parse_subcommand 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            end
        case 'group'
            __sluicectl_parse_subcommand 0 'version' 'h/help'
            switch $unparsed_tokens[1]
            case 'add'
                __sluicectl_parse_subcommand -r 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'mod'
                __sluicectl_parse_subcommand -r 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'del'
                __sluicectl_parse_subcommand -r 1 'all' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'list'
                __sluicectl_parse_subcommand -r 1 'plain' 'stats' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            end
        case 'meter'
            __sluicectl_parse_subcommand 0 'version' 'h/help'
            switch $unparsed_tokens[1]
            case 'add'
                __sluicectl_parse_subcommand -r 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'mod'
                __sluicectl_parse_subcommand -r 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'del'
                __sluicectl_parse_subcommand -r 1 'all' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'list'
                __sluicectl_parse_subcommand -r 1 'plain' 'stats' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            end
        case 'flow'
            __sluicectl_parse_subcommand 0 'version' 'h/help'
            switch $unparsed_tokens[1]
            case 'list'
                __sluicectl_parse_subcommand 1 'port=' 'table=' 'cookie=' 'limit=' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'summary'
                __sluicectl_parse_subcommand 0 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'purge'
                __sluicectl_parse_subcommand 0 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            end
        case 'trace'
            __sluicectl_parse_subcommand 1 'in-port=' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
        case 'monitor'
            __sluicectl_parse_subcommand -r 1 'count=' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
        case 'deny'
            __sluicectl_parse_subcommand 0 'version' 'h/help'
            switch $unparsed_tokens[1]
            case 'add'
                __sluicectl_parse_subcommand -r 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'del'
                __sluicectl_parse_subcommand -r 1 'if-exists' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'list'
                __sluicectl_parse_subcommand 0 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            end
        case 'worker'
            __sluicectl_parse_subcommand 0 'version' 'h/help'
            switch $unparsed_tokens[1]
            case 'show'
                __sluicectl_parse_subcommand 1 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            end
        case 'fdb'
            __sluicectl_parse_subcommand 0 'version' 'h/help'
            switch $unparsed_tokens[1]
            case 'list'
                __sluicectl_parse_subcommand 0 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            case 'flush'
                __sluicectl_parse_subcommand 0 'port=' 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
            end
        case 'version'
            __sluicectl_parse_subcommand 0 'socket=' 'o/output=' 'timeout=' 'version' 'h/help'
        case 'completion'
            __sluicectl_parse_subcommand 1 'version' 'h/help'
        case 'help'
            __sluicectl_parse_subcommand -r 1 'version'
        end
    end
end

function __sluicectl_tokens
    if test (string split -m 1 -f 1 -- . "$FISH_VERSION") -gt 3
        commandline --tokens-raw $argv
    else
        commandline -o $argv
    end
end

function __sluicectl_parse_subcommand -S -a positional_count
    argparse -s r -- $argv
    set -l option_specs $argv[2..]
    set -l is_repeating_positional $_flag_r
    set -el _flag_r
    set -a commands $unparsed_tokens[1]
    set positional_index 0
    while true
        set -e unparsed_tokens[1]
        argparse -sn "$commands" $option_specs -- $unparsed_tokens 2> /dev/null
        set unparsed_tokens $argv
        set positional_index (math $positional_index + 1)
        for non_repeating_flag_or_option in $non_repeating_flags_or_options
            if set -ql "_flag_$(string replace -a - _ -- $non_repeating_flag_or_option)"
                set non_repeating_flags_or_options_absent 1
                break
            end
        end
        test (count $unparsed_tokens) -eq 0 -o \( -z "$is_repeating_positional" -a "$positional_index" -gt "$positional_count" \) && break
    end
end

function __sluicectl_complete_directories
    set -l token (commandline -t)
    string match -- '*/' $token
    set -l subdirs $token*/
    printf %s\n $subdirs
end

function __sluicectl_custom_completion
    set -x SAP_SHELL fish
    set -x SAP_SHELL_VERSION $FISH_VERSION
    set -l tokens (__sluicectl_tokens -p)
    if test -z "$(__sluicectl_tokens -t)"
        set -l index (count (__sluicectl_tokens -pc))
        set tokens $tokens[..$index] \'\' $tokens[(math $index + 1)..]
    end
    command $tokens[1] $argv $tokens
end

complete -c 'sluicectl' -f
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'status' -d 'Shows whether the agent and its parts are well.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'port' -d 'Adds, deletes and shows ports.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'rule' -d 'Adds, changes, deletes and lists rules, in the syntax of ovs-ofctl -O OpenFlow13.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'group' -d 'Adds, changes, deletes and lists groups, in the syntax of ovs-ofctl -O OpenFlow13.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'meter' -d 'Adds, changes, deletes and lists meters, in the syntax of ovs-ofctl -O OpenFlow13.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'flow' -d 'Lists and counts the flows that are being executed, or forgets them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'trace' -d 'Says what would happen to a packet, step by step, without sending one.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'monitor' -d 'Prints events as they happen, until interrupted.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'deny' -d 'Source prefixes that are dropped in XDP, before anything else looks at them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'worker' -d 'Shows the poll threads.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'fdb' -d 'The MAC addresses that the normal action has learned.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'version' -d 'Shows the versions of this program and of the running agent.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'completion' -d 'Prints the completion script of a shell.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl" -eq 1' -fa 'help' -d 'Show subcommand help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl status" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl status" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl status" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl status" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl status" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl port" -eq 1' -fa 'add' -d 'Adds a port and waits until it forwards.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl port" -eq 1' -fa 'del' -d 'Deletes a port; its interface is as it was before.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl port" -eq 1' -fa 'list' -d 'Lists ports with their states and counters.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl port" -eq 1' -fa 'show' -d 'Shows everything about one port.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" interface' -l 'interface' -d 'The interface to take over (default: the port\'s name).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" internal' -l 'internal' -d 'Make an interface through which the host itself is in the switch.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" mode' -l 'mode' -d 'What the port owns: every frame (dedicated), or those that are not for the host (shared).' -rfka 'dedicated shared'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" number' -l 'number' -d 'The OpenFlow port number (default: the lowest free one).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" queues' -l 'queues' -d 'The queues to bind, such as 0,1 or 0-3 (default: all).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port add" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port del" if-exists' -l 'if-exists' -d 'Succeed when there is no such port.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port del" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port del" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port del" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port del" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port del" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port list" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port list" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port list" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port list" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port list" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port show" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port show" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port show" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port show" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl port show" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl rule" -eq 1' -fa 'add' -d 'Adds rules, all or none, and waits until every worker follows them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl rule" -eq 1' -fa 'mod' -d 'Gives rules that are there other actions.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl rule" -eq 1' -fa 'del' -d 'Deletes the rules that a match selects.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl rule" -eq 1' -fa 'list' -d 'Lists rules with their counters.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl rule" -eq 1' -fa 'diff' -d 'Shows what `rule replace` would change, and changes nothing.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl rule" -eq 1' -fa 'replace' -d 'Makes the rules of a file the only ones, in one change.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl rule" -eq 1' -fa 'bundle' -d 'Carries out a file of changes as one change, all or none.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule add" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule add" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule add" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule add" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule add" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule mod" strict' -l 'strict' -d 'Only the rule with exactly this match and priority.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule mod" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule mod" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule mod" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule mod" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule mod" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule del" strict' -l 'strict' -d 'Only the rule with exactly this match and priority.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule del" cookie' -l 'cookie' -d 'Only rules with this cookie, in the bits of the mask when there is one.' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule del" all' -l 'all' -d 'Every rule.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule del" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule del" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule del" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule del" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule del" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule list" strict' -l 'strict' -d 'Only the rule with exactly this match and priority.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule list" cookie' -l 'cookie' -d 'Only rules with this cookie, in the bits of the mask when there is one.' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule list" plain' -l 'plain' -d 'One rule a line, without counters, as `rule add` reads them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule list" stats' -l 'stats' -d 'One rule a line with counters and times, as `ovs-ofctl dump-flows` prints them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule list" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule list" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule list" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule list" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule list" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule diff" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule diff" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule diff" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule diff" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule diff" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule replace" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule replace" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule replace" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule replace" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule replace" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule bundle" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule bundle" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule bundle" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule bundle" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl rule bundle" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl group" -eq 1' -fa 'add' -d 'Adds groups, all or none.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl group" -eq 1' -fa 'mod' -d 'Changes groups that are there, all or none.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl group" -eq 1' -fa 'del' -d 'Deletes groups, and the rules that send to them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl group" -eq 1' -fa 'list' -d 'Lists groups with their buckets and counters.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group add" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group add" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group add" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group add" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group add" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group mod" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group mod" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group mod" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group mod" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group mod" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group del" all' -l 'all' -d 'Every group.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group del" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group del" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group del" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group del" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group del" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group list" plain' -l 'plain' -d 'One group a line, without counters, as `group add` reads them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group list" stats' -l 'stats' -d 'One group a line with counters, as `ovs-ofctl dump-group-stats` prints them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group list" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group list" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group list" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group list" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl group list" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl meter" -eq 1' -fa 'add' -d 'Adds meters, all or none.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl meter" -eq 1' -fa 'mod' -d 'Changes meters that are there, all or none.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl meter" -eq 1' -fa 'del' -d 'Deletes meters, and the rules that go through them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl meter" -eq 1' -fa 'list' -d 'Lists meters with their bands and counters.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter add" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter add" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter add" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter add" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter add" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter mod" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter mod" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter mod" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter mod" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter mod" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter del" all' -l 'all' -d 'Every meter.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter del" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter del" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter del" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter del" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter del" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter list" plain' -l 'plain' -d 'One meter a line, without counters, as `meter add` reads them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter list" stats' -l 'stats' -d 'One meter a line with counters, as `ovs-ofctl meter-stats` prints them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter list" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter list" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter list" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter list" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl meter list" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl flow" -eq 1' -fa 'list' -d 'Lists flows with packets, bytes, age and the tier that executes them.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl flow" -eq 1' -fa 'summary' -d 'Counts flows and masks, and says what they cost.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl flow" -eq 1' -fa 'purge' -d 'Forgets all flows; the next packet of each computes it anew from the rules.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow list" port' -l 'port' -d 'Only flows that come in on this port.' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow list" table' -l 'table' -d 'Only flows that met a rule of this table.' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow list" cookie' -l 'cookie' -d 'Only flows that met a rule with this cookie, in the bits of the mask when there is one.' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow list" limit' -l 'limit' -d 'At most so many flows.' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow list" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow list" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow list" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow list" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow list" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow summary" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow summary" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow summary" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow summary" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow summary" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow purge" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow purge" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow purge" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow purge" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl flow purge" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl trace" in-port' -l 'in-port' -d 'The port that the packet comes in on.' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl trace" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl trace" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl trace" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl trace" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl trace" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl monitor" -ge 1' -fka 'drops flows ports packets rules'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl monitor" count' -l 'count' -d 'End after so many events.' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl monitor" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl monitor" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl monitor" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl monitor" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl monitor" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl deny" -eq 1' -fa 'add' -d 'Adds prefixes, all or none. One that is there already is no error.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl deny" -eq 1' -fa 'del' -d 'Deletes prefixes, all or none.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl deny" -eq 1' -fa 'list' -d 'Lists denied prefixes and what they dropped.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny add" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny add" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny add" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny add" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny add" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny del" if-exists' -l 'if-exists' -d 'Pass over prefixes that are not there.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny del" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny del" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny del" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny del" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny del" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny list" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny list" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny list" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny list" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl deny list" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl worker" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl worker" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl worker" -eq 1' -fa 'show' -d 'Shows each worker: load, caches, and cycles per packet stage by stage.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl worker show" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl worker show" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl worker show" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl worker show" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl worker show" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl fdb" -eq 1' -fa 'list' -d 'Lists learned addresses with port, VLAN and age.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl fdb" -eq 1' -fa 'flush' -d 'Forgets learned addresses.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb list" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb list" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb list" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb list" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb list" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb flush" port' -l 'port' -d 'Only addresses behind this port.' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb flush" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb flush" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb flush" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb flush" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl fdb flush" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl version" socket' -l 'socket' -d 'The agent\'s Unix socket (default: $SLUICE_SOCKET, else /run/sluice/sluice.sock).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl version" o output' -s 'o' -l 'output' -d 'How to print: for people (table) or for programs (json).' -rfka 'table json'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl version" timeout' -l 'timeout' -d 'How long the agent may take to answer (default: 5 to read, 60 to change).' -rfka ''
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl version" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl version" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_positional "sluicectl completion" -eq 1' -fka 'bash zsh fish'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl completion" version' -l 'version' -d 'Show the version.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl completion" h help' -s 'h' -l 'help' -d 'Show help information.'
complete -c 'sluicectl' -n '__sluicectl_should_offer_completions_for_flags_or_options "sluicectl help" version' -l 'version' -d 'Show the version.'
