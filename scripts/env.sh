# For development: puts this checkout's Node and tools first on PATH.  . scripts/env.sh
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]:-$0}")/.." && pwd)
PATH=$here/node_modules/node/bin:$here/node_modules/.bin:$PATH
export PATH
