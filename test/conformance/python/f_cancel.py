import sys

import openai

from harness import case, client, raises, run

IDS = sys.argv[2:]


if len(IDS) == 3:

    @case(89)
    def ended():
        api = client()
        for batch_id, status in zip(IDS, ("completed", "failed", "expired")):
            error = raises(openai.ConflictError, lambda: api.batches.cancel(batch_id))
            assert f"Cannot cancel a batch with status '{status}'." in error.message, error

else:

    @case(92)
    def running():
        assert client().batches.cancel(IDS[0]).status == "cancelling"


run()
