"""Tools, the choice among them, and what each model can do."""

import pytest
from tests.unit.dialects.gemini.gemini_asks import OLD, THREE, TWO, function, hosted, sent
from tests.unit.dialects.gemini.gemini_examples import Json, raw, upstream, vertex

from portico.dialects.translate import Upstream
from portico.errors import BadRequest
from portico.model.losses import Loss
from portico.model.tools import ToolChoice, ToolRef

SCHEMA = {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}


class TestTools:
    def test_functions(self) -> None:
        body = sent(tools=(function("f", SCHEMA, description="d"), function("g")))
        assert body["tools"] == [
            {
                "functionDeclarations": [
                    {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA},
                    {"name": "g"},
                ]
            }
        ]
        assert "toolConfig" not in body

    @pytest.mark.parametrize("to", [OLD, upstream("gemini-3-flash", "openapi_schema")])
    def test_the_subset_where_it_is_needed(self, to: Upstream) -> None:
        empty = {"type": "object", "properties": {}}
        body = sent(tools=(function("f", SCHEMA), function("g", empty)), to=to)
        assert body["tools"][0]["functionDeclarations"] == [
            {
                "name": "f",
                "parameters": {
                    "type": "OBJECT",
                    "properties": {"a": {"type": "INTEGER", "nullable": True}},
                },
            },
            {"name": "g"},
        ]

    @pytest.mark.parametrize(
        ("choice", "config"),
        [
            (ToolChoice("auto"), None),
            (ToolChoice("none"), {"mode": "NONE"}),
            (ToolChoice("required"), {"mode": "ANY"}),
            (
                ToolChoice("tool", ToolRef("function", "g")),
                {"mode": "ANY", "allowedFunctionNames": ["g"]},
            ),
            (
                ToolChoice("auto", None, (ToolRef("function", "f"),)),
                {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
            ),
            (
                ToolChoice("required", None, (ToolRef("function", "f"),)),
                {"mode": "ANY", "allowedFunctionNames": ["f"]},
            ),
            (ToolChoice("auto", None, (ToolRef("web_search"),)), {"mode": "NONE"}),
        ],
    )
    def test_choices(self, choice: ToolChoice, config: Json | None) -> None:
        body = sent(tools=(function("f"), function("g")), tool_choice=choice)
        assert body.get("toolConfig", {}).get("functionCallingConfig") == config

    def test_strict_functions_are_validated(self) -> None:
        body = sent(tools=(function(strict=True),))
        assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}

    def test_hosted_tools(self) -> None:
        store = {"type": "file_search", "vector_store_ids": ["fileSearchStores/s"],
                 "max_num_results": 4}  # fmt: skip
        body = sent(
            tools=(
                hosted(), hosted("code_interpreter"), hosted("web_fetch"),
                hosted("file_search", store),
            )
        )  # fmt: skip
        assert body["tools"] == [
            {"googleSearch": {}},
            {"codeExecution": {}},
            {"urlContext": {}},
            {"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/s"], "topK": 4}},
        ]

    def test_file_search_needs_a_store(self) -> None:
        with pytest.raises(BadRequest) as caught:
            sent(tools=(function(), hosted("file_search")))
        assert caught.value.param == "tools[1].vector_store_ids"

    def test_what_a_hosted_tool_cannot_be_told_is_declared(self) -> None:
        losses: list[Loss] = []
        told = {"allowed_domains": ["a.example"], "blocked_domains": ["b.example"], "max_uses": 2,
                "user_location": {"city": "Bern"}, "search_context_size": "low"}  # fmt: skip
        tool = hosted(
            native={"type": "web_search", **told}, allowed_domains=("a.example",),
            blocked_domains=("b.example",), max_uses=2, user_location=raw({"city": "Bern"}),
        )  # fmt: skip
        sent(tools=(tool,), losses=losses)
        assert [loss.path for loss in losses] == [f"tools[0].{name}" for name in told]
        losses.clear()
        body = sent(tools=(tool,), to=vertex(), losses=losses)
        assert body["tools"] == [{"googleSearch": {"excludeDomains": ["b.example"]}}]
        rest = [name for name in told if name != "blocked_domains"]
        assert [loss.path for loss in losses] == [f"tools[0].{name}" for name in rest]

    def test_gemini_3_mixes_functions_with_hosted_tools(self) -> None:
        body = sent(tools=(function(), hosted()))
        assert len(body["tools"]) == 2
        assert body["toolConfig"] == {"includeServerSideToolInvocations": True}
        assert "toolConfig" not in sent(tools=(function(), hosted()), to=vertex())

    def test_older_models_keep_the_functions_and_declare_the_rest(self) -> None:
        losses: list[Loss] = []
        body = sent(tools=(hosted(), function()), to=TWO, losses=losses)
        assert body["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
        assert [(loss.path, loss.how) for loss in losses] == [("tools[0]", "dropped")]

    def test_older_models_refuse_a_forced_hosted_tool_beside_functions(self) -> None:
        with pytest.raises(BadRequest) as caught:
            sent(
                tools=(hosted(), function()), to=TWO,
                tool_choice=ToolChoice("tool", ToolRef("web_search")),
            )  # fmt: skip
        assert caught.value.param == "tool_choice"

    def test_a_hosted_tool_that_may_not_be_used_is_not_offered(self) -> None:
        both = (function(), hosted())
        forced = ToolChoice("tool", ToolRef("function", "f"))
        assert len(sent(tools=both, tool_choice=forced)["tools"]) == 1
        narrowed = ToolChoice("auto", None, (ToolRef("function", "f"),))
        assert len(sent(tools=both, tool_choice=narrowed)["tools"]) == 1
        assert "tools" not in sent(tools=(hosted(),), tool_choice=ToolChoice("none"))

    def test_forcing_a_hosted_tool_is_declared(self) -> None:
        losses: list[Loss] = []
        body = sent(
            tools=(hosted(), function()), losses=losses,
            tool_choice=ToolChoice("tool", ToolRef("web_search")),
        )  # fmt: skip
        assert body["toolConfig"]["functionCallingConfig"] == {"mode": "NONE"}
        assert [(loss.path, loss.how) for loss in losses] == [("tool_choice", "adapted")]


class TestCapabilities:
    def test_sampling_ends_with_the_newest_models(self) -> None:
        for model, has in (("gemini-3.5-flash", True), ("gemini-3.5-flash-lite", False),
                           ("gemini-3.6-flash", False), ("gemini-2.5-pro", True)):  # fmt: skip
            assert ("temperature" in upstream(model).capabilities.parameters) is has

    def test_penalties_end_with_gemini_3(self) -> None:
        assert "presence_penalty" in TWO.capabilities.parameters
        assert "presence_penalty" not in THREE.capabilities.parameters

    def test_choices_are_never_offered(self) -> None:
        for target in (OLD, TWO, THREE, vertex()):
            assert "choices" not in target.capabilities.parameters

    def test_vertex_has_labels_and_no_file_search(self) -> None:
        row = vertex().capabilities
        assert "metadata" in row.parameters
        assert "file_search" not in row.hosted
        assert "metadata" not in THREE.capabilities.parameters
