"""Passes fit a request to what its target can take, and take its answer back to what was asked.

`fit` (in `passes.fit`) runs them in order and returns a `Fitted`. What an upstream encoder may rely
on after it, with `can` for `upstream.capabilities`:

- There are no `Reference` items.
- `tools` hold function tools whose names the target takes, unique and without `namespace` (unless
  `can.namespaces`); custom tools only if `can.custom_tools`, else they became functions with the
  one string parameter `input`; hosted tools only of the kinds in `can.hosted`. Names in
  `tool_choice` and in calls and results of the history were changed in the same way.
- `tool_choice.allowed` is None unless `can.allowed_tools`; then `tools` is the subset already.
  `tool_choice` is auto when there are no tools. With `can.forced_tools` False it is auto or none.
- `format` is None where it had to be emulated: a forced tool stands for it, and `Fitted.restore`
  turns its call back into text.
- `arguments` of function calls are the text of a JSON object (never empty). Call ids match
  `can.call_id`.
- `Reasoning.sealed` is of this very target or `native:` of its own dialect, or None. Reasoning
  without proof is only there if `can.reasoning_text`.
- Parts are text, refusals, and the kinds in `can.content`; in tool outputs, in `can.results`.
  What a tool gave besides moved to a user message behind the results.
- Parameters outside `can.parameters` are None (or empty, or 1 for `choices`); `effort` is in
  `can.efforts` unless that is empty; ranges are the target's.
- Empty texts and messages without parts are gone.
- Hosted items keep `native` only for its own dialect; an encoder that meets another's restates
  `input` and `output` as text, or drops it and says so.
- Everything that was changed or left out is in the losses already. Encoders add what they alone
  know.
"""
