import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Document, parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/config/config.ts';
import { helmBinary } from '../helpers/helm.ts';

const CHART = fileURLToPath(new URL('../../deploy/helm/nightshift', import.meta.url));
const ALERTS = new URL('../../deploy/prometheus/alerts.yml', import.meta.url);
const run = promisify(execFile);

/** What a cluster has at least. */
const LEAST = {
  temporal: { address: 'temporal.temporal:7233' },
  s3: { endpoint: 'https://s3.eu-central-1.amazonaws.com' },
  upstream: { url: 'http://vllm:8000/v1' },
  auth: { apiKeysSecret: 'keys' },
};
/** Everything that can be switched on. */
const ALL = {
  ...LEAST,
  temporal: { address: 'ns.tmprl.cloud:7233', apiKeySecret: 'cloud', tls: { enabled: true, serverName: 'ns.tmprl.cloud', secret: 'mtls' } },
  s3: { ...LEAST.s3, prefix: 'prod', keysSecret: 's3' },
  auth: { tenantsSecret: 'tenants' },
  webhookKeySecret: 'webhooks',
  upstream: { file: '- name: gpu\n  base_urls: [http://vllm:8000/v1]\n', filesSecret: 'upstream-keys' },
  prices: 'currency: EUR\nmodels: { small: { input: 1 } }\n',
  env: { NIGHTSHIFT_LOG_LEVEL: 'debug' },
  api: { autoscaling: { enabled: true } },
  worker: { autoscaling: { enabled: true, type: 'keda' } },
  serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
  rules: { enabled: true },
  networkPolicy: { enabled: true, metricsFrom: [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }] },
};

/** As the YAML says: each kind has a shape of its own. */
type Manifest = ReturnType<Document['toJS']>;

let helm: string;
let folder: string;
before(async () => {
  helm = await helmBinary();
  folder = await mkdtemp(join(tmpdir(), 'nightshift-helm-'));
});
after(async () => await rm(folder, { recursive: true }));

let files = 0;
async function valuesFile(values: object): Promise<string> {
  const path = join(folder, `values-${(files += 1)}.json`);
  await writeFile(path, JSON.stringify(values));
  return path;
}

/** The manifests of a release, by kind and name. */
async function render(values: object): Promise<Map<string, Manifest>> {
  const { stdout } = await run(helm, ['template', 'prod', CHART, '--kube-version', '1.33', '--values', await valuesFile(values)]);
  const manifests = parseAllDocuments(stdout).flatMap((document): Manifest[] => document.toJS() ?? []);
  return new Map(manifests.map((manifest) => [`${manifest.kind} ${manifest.metadata.name}`, manifest]));
}

function the(manifests: ReadonlyMap<string, Manifest>, name: string): Manifest {
  const found = manifests.get(name);
  assert.ok(found, `${name} is not among ${[...manifests.keys()].join(', ')}`);
  return found;
}

/** The settings of a deployment. Each file lies in a folder that the container mounts, and is replaced by one that is there. */
async function settingsOf({ spec }: Manifest): Promise<Record<string, string>> {
  const [container] = spec.template.spec.containers;
  const mounts: { name: string; mountPath: string }[] = container.volumeMounts;
  const volumes = new Set(spec.template.spec.volumes.map(({ name }: { name: string }) => name));
  for (const { name } of mounts) assert.ok(volumes.has(name), `no volume ${name}`);
  const settings: Record<string, string> = {};
  for (const { name, value } of container.env) {
    const isFile = name.endsWith('_FILE');
    if (isFile)
      assert.ok(
        mounts.some(({ mountPath }) => value.startsWith(`${mountPath}/`)),
        `${name} is in no volume: ${value}`,
      );
    settings[name] = isFile ? join(folder, value.split('/').at(-1)) : value;
  }
  return settings;
}

describe('deploy/helm/nightshift', () => {
  it('passes helm lint, as it is least and with everything', async () => {
    for (const values of [LEAST, ALL]) {
      const { stdout } = await run(helm, ['lint', '--strict', CHART, '--values', await valuesFile(values)]);
      assert.match(stdout, /0 chart\(s\) failed/);
    }
  });

  it('gives API and worker settings that they accept', async () => {
    await writeFile(join(folder, 'api-keys'), 'key-of-some-length=acme');
    await writeFile(join(folder, 'tenants.yaml'), '- name: acme\n');
    await writeFile(join(folder, 'upstreams.yaml'), ALL.upstream.file);
    const prices = the(await render(ALL), 'ConfigMap prod-nightshift-api').data['prices.yaml'];
    await writeFile(join(folder, 'prices.yaml'), prices);
    for (const name of ['access-key', 'secret-key', 'api-key', 'webhook-key'])
      await writeFile(join(folder, name), 'a-secret-of-some-length-0123456789');
    for (const [values, keysSecret] of [
      [LEAST, 's3'],
      [{ ...ALL, temporal: { ...ALL.temporal, tls: { enabled: true } } }, 's3'],
    ] as const) {
      const manifests = await render({ ...values, s3: { ...values.s3, keysSecret } });
      for (const process of ['api', 'worker'] as const) {
        const deployment = the(manifests, `Deployment prod-nightshift-${process}`);
        const config = loadConfig(await settingsOf(deployment), process);
        assert.deepEqual(
          config.warnings.filter((warning) => /unknown/i.test(warning)),
          [],
        );
        const [container] = deployment.spec.template.spec.containers;
        assert.deepEqual(container.args, [process]);
        assert.equal(config.batches.prices?.currency, process === 'api' && 'prices' in values ? 'EUR' : undefined);
        // What asks it finds it.
        const ports = new Map(container.ports.map((port: { name: string; containerPort: number }) => [port.name, port.containerPort]));
        assert.equal(ports.get('operators'), process === 'api' ? config.telemetry.apiPort : config.telemetry.workerPort);
        for (const probe of ['livenessProbe', 'readinessProbe']) assert.equal(container[probe].httpGet.port, 'operators');
        const graceSeconds = deployment.spec.template.spec.terminationGracePeriodSeconds;
        assert.ok(graceSeconds * 1000 > config.shutdownGraceMs + config.api.drainMs);
      }
    }
  });

  it('mounts the secrets of Temporal over mTLS, and shows none in a pod', async () => {
    const manifests = await render(ALL);
    const worker = the(manifests, 'Deployment prod-nightshift-worker');
    const settings = await settingsOf(worker);
    assert.equal(settings['NIGHTSHIFT_TEMPORAL_TLS'], 'true');
    assert.ok(['CA', 'CERT', 'KEY'].every((name) => `NIGHTSHIFT_TEMPORAL_TLS_${name}_FILE` in settings));
    assert.equal(
      worker.spec.template.spec.containers[0].env.some((each: object) => 'valueFrom' in each),
      false,
    );
    assert.equal(worker.spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem, true);
  });

  it('uses the role of the service account where it has no keys of S3', async () => {
    const manifests = await render({
      ...LEAST,
      serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/x' } },
    });
    const account = the(manifests, 'ServiceAccount prod-nightshift');
    assert.deepEqual(account.metadata.annotations, { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/x' });
    const { spec } = the(manifests, 'Deployment prod-nightshift-api');
    assert.equal(spec.template.spec.serviceAccountName, 'prod-nightshift');
    assert.ok(!('NIGHTSHIFT_S3_ACCESS_KEY_FILE' in (await settingsOf(the(manifests, 'Deployment prod-nightshift-api')))));
  });

  it('scales workers by the backlog of Temporal with KEDA, and by CPU without', async () => {
    const keda = await render(ALL);
    const { spec } = the(keda, 'ScaledObject prod-nightshift-worker');
    assert.equal(spec.scaleTargetRef.name, 'prod-nightshift-worker');
    assert.deepEqual(
      spec.triggers.map(({ metadata }: { metadata: { taskQueue: string } }) => metadata.taskQueue),
      ['requests-default', 'nightshift', 'nightshift-validation', 'nightshift-results'],
    );
    const auth = the(keda, 'TriggerAuthentication prod-nightshift-worker').spec.secretTargetRef;
    assert.deepEqual(
      auth.map(({ parameter, name, key }: Record<string, string>) => `${parameter} ${name}/${key}`),
      ['apiKey cloud/api-key', 'ca mtls/ca.crt', 'cert mtls/tls.crt', 'key mtls/tls.key'],
    );
    assert.equal(the(keda, 'Deployment prod-nightshift-worker').spec.replicas, undefined);
    const hpa = await render({ ...LEAST, worker: { autoscaling: { enabled: true } } });
    assert.equal(the(hpa, 'HorizontalPodAutoscaler prod-nightshift-worker').spec.scaleTargetRef.name, 'prod-nightshift-worker');
    assert.equal((await render(LEAST)).has('HorizontalPodAutoscaler prod-nightshift-worker'), false);
  });

  it('has budgets of disruption, network policies, monitors, and the alerts of deploy/prometheus', async () => {
    const manifests = await render(ALL);
    for (const process of ['api', 'worker']) {
      assert.equal(the(manifests, `PodDisruptionBudget prod-nightshift-${process}`).spec.maxUnavailable, 1);
      assert.ok(the(manifests, `NetworkPolicy prod-nightshift-${process}`).spec.ingress.length > 0);
      const monitor = the(manifests, `ServiceMonitor prod-nightshift-${process}`);
      assert.equal(monitor.spec.endpoints[0].relabelings[0].replacement, `nightshift-${process}`);
      const { labels } = the(manifests, `Service prod-nightshift-${process}-metrics`).metadata;
      assert.partialDeepStrictEqual(labels, monitor.spec.selector.matchLabels);
    }
    assert.deepEqual(the(manifests, 'PrometheusRule prod-nightshift').spec, parse(await readFile(ALERTS, 'utf8')));
    assert.equal(await readFile(join(CHART, 'files/alerts.yml'), 'utf8'), await readFile(ALERTS, 'utf8'));
    const alone = await render({ ...LEAST, networkPolicy: { enabled: true } });
    assert.deepEqual(the(alone, 'NetworkPolicy prod-nightshift-worker').spec.ingress, []);
  });

  it('refuses values that are misspelt, of a wrong type or missing', async () => {
    for (const [values, fault] of [
      [{ ...LEAST, workers: {} }, /workers/],
      [{ ...LEAST, temporal: {} }, /address/],
      [{ ...LEAST, s3: { endpoint: 's3.example.com' } }, /endpoint/],
      [{ ...LEAST, worker: { replicas: '2' } }, /replicas/],
      [{ ...LEAST, worker: { autoscaling: { type: 'vpa' } } }, /type/],
      [{ ...LEAST, env: { logLevel: 'debug' } }, /env|logLevel/],
      [{ ...LEAST, upstream: {} }, /upstream\.url or upstream\.file/],
      [{ ...LEAST, auth: { apiKeysSecret: 'keys', tenantsSecret: 'tenants' } }, /are both set, but the API takes its keys from one/],
    ] as const)
      await assert.rejects(render(values), fault);
  });
});
