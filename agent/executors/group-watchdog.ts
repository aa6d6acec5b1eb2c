// Kills the process groups of an agent that has gone, for one that was killed cannot do so itself.
//
// One shell per agent, started with its first program, and anew when it was killed while programs run. It
// is told on its stdin which groups there are; when the agent is gone, however that came about, the kernel
// closes that pipe, and the shell kills what is left and ends. A group that was started in the instant
// before the agent was killed may go unseen, and so does everything when there is no /bin/sh.

import { spawn, type ChildProcess } from 'node:child_process';

/** Reads `+ <group>` and `- <group>`; `groups` keeps a space before and after each. */
const SCRIPT = `
trap '' HUP INT TERM
groups=' '
while read -r sign group; do
  case $sign in
    +) groups="$groups$group " ;;
    -) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do
  kill -9 "-$group"
done
`;

export class GroupWatchdog {
  readonly #groups: () => Iterable<number>;
  #shell: ChildProcess | undefined;

  /** `groups` are those that a new shell is told first. */
  constructor(groups: () => Iterable<number>) {
    this.#groups = groups;
  }

  /** Call it with a group that is among the groups already. */
  watch(group: number): void {
    if (this.#shell) this.#tell(`+ ${group}\n`);
    else this.#start();
  }

  forget(group: number): void {
    this.#tell(`- ${group}\n`);
  }

  #start(): void {
    const shell = spawn('/bin/sh', ['-c', SCRIPT], {
      cwd: '/',
      env: {},
      // Ctrl-C is not for it.
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#shell = shell;
    const gone = () => {
      if (this.#shell === shell) this.#shell = undefined;
    };
    shell.on('error', gone);
    shell.on('exit', (_code, killedBy) => {
      gone();
      // Until its end was noticed it may have been told of groups, in vain.
      if (killedBy && [...this.#groups()].length > 0) this.#start();
    });
    shell.stdin.on('error', () => {});
    // It is no reason for this process to stay.
    shell.unref();
    if ('unref' in shell.stdin && typeof shell.stdin.unref === 'function') shell.stdin.unref();
    for (const group of this.#groups()) this.#tell(`+ ${group}\n`);
  }

  #tell(line: string): void {
    this.#shell?.stdin?.write(line);
  }
}
