from bench.metrics import Counted, counted, total

TEXT = """\
# HELP portico_requests_total Finished requests.
# TYPE portico_requests_total counter
portico_requests_total{endpoint="/v1/chat/completions",dialect="chat",status="2xx"} 7
portico_requests_total{endpoint="/v1/chat/completions",dialect="chat",status="499"} 2
portico_requests_total{endpoint="/v1/chat/completions",dialect="chat",status="5xx"} 1
portico_requests_total{endpoint="/v1/models",dialect="",status="2xx"} 9
portico_client_cancelled_total{endpoint="/v1/chat/completions"} 5
portico_stream_truncated_total{endpoint="/v1/chat/completions"} 1
portico_log_dropped_total{log="access"} 4
portico_gen_ai_client_token_usage_sum{gen_ai_token_type="input",model="a \\"b\\" }"} 3e2
portico_gen_ai_client_token_usage_sum{gen_ai_token_type="input",model="b"} 1
portico_gen_ai_client_token_usage_sum{gen_ai_token_type="output"} 20
portico_in_flight 0
"""


def test_samples_are_summed_by_label() -> None:
    assert total(TEXT, "portico_requests_total") == 19
    assert total(TEXT, "portico_requests_total", dialect="chat", status="2xx") == 7
    assert total(TEXT, "portico_requests") == 0


def test_counts() -> None:
    assert counted(TEXT) == Counted(7, 2, 1, 4, 4, 301, 20, 0)


def test_requests_in_another_dialect_are_not_counted() -> None:
    assert counted(TEXT, "responses").ok == 0
    assert counted(TEXT, "responses").input_tokens == 301


def test_a_scrape_is_compared_with_an_earlier_one() -> None:
    before = Counted(5, 2, 1, 4, 4, 300, 10, 3)
    assert counted(TEXT).since(before) == Counted(2, 0, 0, 0, 0, 1, 10, 0)
