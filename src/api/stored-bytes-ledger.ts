/** What can say how many bytes of a tenant it holds. */
export interface Holding {
  storedBytes(tenant: string): Promise<number>;
}

/** The bytes that each tenant stores and is about to store. */
export interface StoredBytesLedger {
  /** Opens an account for one upload of a tenant that may store so many bytes. */
  open(tenant: string, maxBytes: number): UploadAccount;
}

/** What one upload takes. */
export interface UploadAccount {
  /** Takes so many bytes more, or answers false: the tenant has no room for them. */
  take(bytes: number): Promise<boolean>;
  /** Ends the upload. The bytes taken stay counted if they were stored. */
  end(isStored: boolean): void;
}

/** What a tenant held at one moment, and what was stored since. */
interface Tenant {
  measured: { bytes: number; atMs: number } | null;
  /** One measurement serves all uploads that wait for one. */
  measuring: Promise<void> | null;
  storedSince: number;
  /** Of uploads under way. */
  taken: number;
}

/** Age up to which a measurement serves to accept bytes; other processes may have stored something meanwhile. */
const MAX_AGE_MS = 60_000;
/** Age up to which it serves to refuse them, so that a client that has just deleted files need not wait. */
const MAX_AGE_TO_REFUSE_MS = 1000;

/**
 * Measures by listing the bucket, at most one listing per tenant at a time, and adds what this process stores meanwhile. Several
 * processes see each other's uploads by the next measurement only.
 */
export function createStoredBytesLedger({
  stores,
  monotonicMs,
}: {
  stores: readonly Holding[];
  monotonicMs: () => number;
}): StoredBytesLedger {
  const tenants = new Map<string, Tenant>();

  async function measure(name: string, tenant: Tenant): Promise<void> {
    const atMs = monotonicMs();
    // What is stored from here on may be missing in the listing, so it is counted beside it.
    const storedBefore = tenant.storedSince;
    const all = await Promise.all(stores.map(async (store) => await store.storedBytes(name)));
    tenant.measured = { atMs, bytes: all.reduce((sum, bytes) => sum + bytes, 0) };
    tenant.storedSince -= storedBefore;
  }

  async function refresh(name: string, tenant: Tenant, maxAgeMs: number): Promise<void> {
    if (tenant.measured !== null && monotonicMs() - tenant.measured.atMs < maxAgeMs) return;
    tenant.measuring ??= measure(name, tenant).finally(() => (tenant.measuring = null));
    await tenant.measuring;
  }

  return {
    open(name, maxBytes) {
      const tenant = tenants.get(name) ?? { measured: null, measuring: null, storedSince: 0, taken: 0 };
      tenants.set(name, tenant);
      let own = 0;
      // Full already is no room either, however few bytes come.
      const hasCapacity = (bytes: number) => {
        const held = (tenant.measured?.bytes ?? 0) + tenant.storedSince + tenant.taken;
        return held + bytes <= maxBytes && held - own < maxBytes;
      };
      return {
        async take(bytes) {
          await refresh(name, tenant, MAX_AGE_MS);
          if (!hasCapacity(bytes)) await refresh(name, tenant, MAX_AGE_TO_REFUSE_MS);
          // No other upload runs between the check and the booking.
          if (!hasCapacity(bytes)) return false;
          own += bytes;
          tenant.taken += bytes;
          return true;
        },
        end(isStored) {
          tenant.taken -= own;
          if (isStored) tenant.storedSince += own;
          own = 0;
        },
      };
    },
  };
}
