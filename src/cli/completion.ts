import { type Command, COMMON_OPTIONS, defineCommand, type Options } from './command.ts';
import { WrongCall } from './command-error.ts';
import { EXIT } from './exit-codes.ts';

/** What a shell is told about a command. */
interface Described {
  summary: string;
  options: Options;
}

/** Commands that run the service; their options are few and do not change. */
const SERVER_COMMANDS: Readonly<Record<string, Described>> = {
  local: {
    summary: 'run everything on this machine',
    options: {
      minio: { type: 'boolean', help: 'keep objects in MinIO' },
      example: { type: 'boolean', help: 'send the example batch' },
      exit: { type: 'boolean', help: 'end after the example' },
    },
  },
  api: { summary: 'run the HTTP API', options: {} },
  worker: { summary: 'run a worker', options: {} },
  'store copy': {
    summary: 'copy everything to another store',
    options: { from: { type: 'string', help: 'embedded or s3' }, to: { type: 'string', help: 'embedded or s3' } },
  },
  config: { summary: 'check the settings and show them', options: {} },
};

/** `nightshift completion`. */
export const completion = defineCommand({
  usage: 'completion SHELL',
  about: `
Prints the completion script of bash, zsh or fish. To use it:
  bash  source <(nightshift completion bash)          in ~/.bashrc
  zsh   source <(nightshift completion zsh)           in ~/.zshrc, after compinit
  fish  nightshift completion fish | source           in ~/.config/fish/config.fish`,
  options: {},
  words: [1, 1],
  async run(_values, [shell = ''], { output, commands }) {
    const make = { bash, zsh, fish }[shell];
    if (make === undefined) throw new WrongCall(`The shell is ${JSON.stringify(shell)}, but there are scripts for bash, zsh and fish.`);
    const loaded = await Promise.all(
      Object.entries(commands).map(async ([name, { summary, load }]): Promise<[string, Described]> => [
        name,
        { summary, options: withCommon(await load()) },
      ]),
    );
    output.print(make(new Map([...loaded, ...Object.entries(SERVER_COMMANDS)])));
    return EXIT.ok;
  },
});

type Commands = ReadonlyMap<string, Described>;

function withCommon({ options }: Pick<Command, 'options'>): Options {
  return { ...options, ...COMMON_OPTIONS };
}

/** First words, and the second words of those that have some. */
function tree(commands: Commands): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const name of commands.keys()) {
    const [first = '', second] = name.split(' ');
    found.set(first, [...(found.get(first) ?? []), ...(second === undefined ? [] : [second])]);
  }
  return found;
}

function flags(options: Options): string {
  return Object.keys(options)
    .map((name) => `--${name}`)
    .join(' ');
}

function bash(commands: Commands): string {
  const groups = [...tree(commands)].filter(([, second]) => second.length > 0);
  return `_nightshift() {
  local cur=\${COMP_WORDS[COMP_CWORD]} command=\${COMP_WORDS[1]} candidates=
  if [ "$COMP_CWORD" -eq 1 ]; then candidates='${[...tree(commands).keys()].join(' ')} help'
  else
    case "$command" in
${groups.map(([first, second]) => `      ${first}) if [ "$COMP_CWORD" -eq 2 ]; then candidates='${second.join(' ')}'; else command="$command \${COMP_WORDS[2]}"; fi ;;`).join('\n')}
      help) candidates='${[...tree(commands).keys()].join(' ')}' ;;
    esac
    case "$command" in
${[...commands].map(([name, { options }]) => `      '${name}') candidates='${flags(options)}' ;;`).join('\n')}
      completion) candidates='bash zsh fish' ;;
    esac
  fi
  COMPREPLY=()
  while IFS= read -r reply; do [ -z "$reply" ] || COMPREPLY+=("$reply"); done < <(compgen -W "$candidates" -- "$cur")
}
complete -o default -F _nightshift nightshift
`.replace(/^ +'completion'\).*\n/m, '');
}

function zsh(commands: Commands): string {
  const firsts = [...tree(commands)];
  const summary = (first: string, second: string[]) => commands.get(first)?.summary ?? second.join(', ');
  return `#compdef nightshift
_nightshift() {
  local -a entries
  local command=$words[2]
  if (( CURRENT == 2 )); then
    entries=(${firsts.map(([first, second]) => `'${first}:${summary(first, second)}'`).join(' ')} 'help:explain a command')
    _describe command entries
    return
  fi
  case $command in
${firsts
  .filter(([, second]) => second.length > 0)
  .map(
    ([first, second]) =>
      `    ${first}) if (( CURRENT == 3 )); then compadd ${second.join(' ')}; return; fi; command="$command $words[3]" ;;`,
  )
  .join('\n')}
    completion) compadd bash zsh fish; return ;;
    help) compadd ${firsts.map(([first]) => first).join(' ')}; return ;;
  esac
  case $command in
${[...commands].map(([name, { options }]) => `    '${name}') compadd -- ${flags(options)} ;;`).join('\n')}
  esac
  _files
}
compdef _nightshift nightshift
`;
}

function fish(commands: Commands): string {
  const entries: string[] = [];
  for (const [first, second] of tree(commands)) {
    const about = commands.get(first)?.summary ?? second.join(', ');
    entries.push(`complete -c nightshift -n __fish_use_subcommand -f -a ${first} -d '${about}'`);
    if (second.length > 0)
      entries.push(
        `complete -c nightshift -n '__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${second.join(' ')}' -f -a '${second.join(' ')}'`,
      );
  }
  for (const [name, { options }] of commands) {
    const seen = name
      .split(' ')
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join('; and ');
    for (const [option, { type, short, help }] of Object.entries(options)) {
      const given = `${short === undefined ? '' : ` -s ${short}`} -l ${option}${type === 'string' ? ' -r' : ''}`;
      entries.push(`complete -c nightshift -n '${seen}'${given} -d '${help.replaceAll("'", "\\'")}'`);
    }
  }
  entries.push("complete -c nightshift -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'");
  return `${entries.join('\n')}\n`;
}
