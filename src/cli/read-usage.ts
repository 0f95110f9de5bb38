import { ApiFault } from './api-fault.ts';
import { USAGE_GROUPS, type UsageGroup, type UsageRow } from '../domain/usage.ts';

/** What `GET /v1/nightshift/usage` answers. */
export interface UsageAnswer {
  from: string;
  to: string;
  group_by: UsageGroup[];
  data: UsageRow[];
}

/** The usage as the API answers it. */
export function readUsage(value: unknown): UsageAnswer {
  const given: Partial<UsageAnswer> = Object(value);
  if (!Array.isArray(given.data) || !Array.isArray(given.group_by)) {
    throw new ApiFault('The API answered with something that is no usage. Only Nightshift has this call.', { isTransient: false });
  }
  const groups = USAGE_GROUPS.filter((group) => given.group_by?.includes(group) === true);
  return {
    ...given,
    from: given.from ?? '',
    to: given.to ?? '',
    group_by: given.group_by.filter((each) => groups.includes(each)),
    data: given.data,
  };
}
