// Whole answers and streams through the load balancer; every answer is one point of `answers`.
import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';
import { Counter } from 'k6/metrics';

const CONNECTIONS = Number(__ENV.CONNECTIONS);
const STREAMS = Number(__ENV.STREAMS);
const answers = new Counter('answers');

export const options = {
  vus: CONNECTIONS,
  duration: __ENV.DURATION,
  systemTags: [],
  thresholds: {},
};

export default function () {
  const stream = exec.vu.idInTest <= STREAMS;
  const body = {
    model: stream ? 'lorem;tokens=20;rate=80' : 'echo',
    messages: [{ role: 'user', content: 'Hello' }],
    stream,
  };
  const answer = http.post(`${__ENV.URL}/v1/chat/completions`, JSON.stringify(body), {
    headers: { Authorization: `Bearer ${__ENV.KEY}`, 'Content-Type': 'application/json' },
    timeout: '30s',
  });
  answers.add(1, {
    kind: stream ? 'stream' : 'whole',
    build: answer.headers.Build || '',
    failure: failure(answer, stream),
  });
  sleep(Number(__ENV.PAUSE));
}

function failure(answer, stream) {
  if (answer.error_code && !answer.status) return answer.error;
  if (answer.status !== 200) return `${answer.status} ${String(answer.body).slice(0, 200)}`;
  if (stream && !answer.body.trimEnd().endsWith('data: [DONE]')) return `broken stream: ${answer.body.slice(-200)}`;
  return answer.error || '';
}
