/** Entry of `nexctl`. */

import { runNexctl } from './nexctl/program.ts';

process.exitCode = await runNexctl(process.argv.slice(2));
