import { workerData } from 'node:worker_threads';
import { DataPath } from './data-path.ts';
import type { FromWorker, WorkerStart } from './messages.ts';

// Entry of the data path's thread. It runs synchronously from here until it is told to close: nothing on it may await.

const start = workerData as WorkerStart;
try {
  const opened = DataPath.open(start);
  if (opened.ok) opened.dataPath.run();
  else start.port.postMessage({ type: 'refused', error: opened.error } satisfies FromWorker);
} finally {
  start.port.close();
}
