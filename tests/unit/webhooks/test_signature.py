from __future__ import annotations

import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from core.webhooks.signature import new_secret, signed_headers

BODY = '{"data":{"labels":["Nävus"]},"type":"job.succeeded"}'.encode()


def headers(*secrets: str, body: bytes = BODY) -> dict[str, str]:
    return signed_headers("whd_1", int(time.time()), body, secrets)


def test_the_reference_library_verifies_what_we_sign() -> None:
    secret = new_secret()
    assert Webhook(secret).verify(BODY, headers(secret))["type"] == "job.succeeded"


def test_while_a_secret_is_replaced_both_verify() -> None:
    old, new = new_secret(), new_secret()
    both = headers(new, old)
    assert both["webhook-signature"].count("v1,") == 2
    for secret in (old, new):
        Webhook(secret).verify(BODY, both)


@pytest.mark.parametrize("change", ["body", "id", "time", "secret"])
def test_what_was_changed_on_the_way_is_found_out(change: str) -> None:
    secret = new_secret()
    sent = headers(secret)
    body = BODY
    if change == "body":
        body = BODY.replace(b"succeeded", b"failed")
    elif change == "id":
        sent["webhook-id"] = "whd_2"
    elif change == "time":
        sent["webhook-timestamp"] = str(int(sent["webhook-timestamp"]) - 1)
    else:
        secret = new_secret()
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, sent)


def test_the_vector_of_the_specification() -> None:
    """The example of standard-webhooks/spec: id, timestamp, payload, secret, signature."""
    found = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
