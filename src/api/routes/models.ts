import { modelNotFound } from '../errors/parameter-errors.ts';
import type { ModelStore, ServedModel } from '../../storage/model-store.ts';
import { pathParam, type Route, sendJson } from '../context.ts';

interface Deps {
  models: Pick<ModelStore, 'list'>;
}

/** `GET /v1/models`: what the lines of a batch may name. An upstream that takes any name and lists none adds nothing here. */
export function listModels({ models }: Deps): Route {
  return async (ctx) => sendJson(ctx, { object: 'list', data: (await models.list()).map(toModel) });
}

/** `GET /v1/models/{id}`: one of them. */
export function retrieveModel({ models }: Deps): Route {
  return async (ctx) => {
    const id = pathParam(ctx, 'id');
    const found = (await models.list()).find(({ model }) => model === id);
    if (found === undefined) throw modelNotFound(id);
    sendJson(ctx, toModel(found));
  };
}

function toModel({ model, upstream, since }: ServedModel) {
  return { id: model, object: 'model', created: since, owned_by: upstream };
}
