"""What connections remember: at most the latest response each, and all of them within a budget."""

from hypothesis import example, given
from hypothesis import strategies as st

from portico.state.session import Memory, Remembered, Session

BUDGET = 1000
SESSIONS = st.integers(0, 3)
NAMES = st.sampled_from(["a", "b", "c"])
STEP = st.one_of(
    st.tuples(st.just("remember"), SESSIONS, NAMES, st.integers(0, 700)),
    st.tuples(st.just("elsewhere"), SESSIONS, NAMES, st.integers(0, 7000)),
    st.tuples(st.just("evict"), SESSIONS, NAMES, st.just(0)),
    st.tuples(st.just("close"), SESSIONS, st.just(""), st.just(0)),
)


def context(name: str, size: int) -> tuple[bytes, ...]:
    """Arrays of `size` bytes or a bit more, in which an item has the id `item-<name>`."""
    body = b'[{"type":"message","id":"item-%b","content":""}]' % name.encode()
    return (body, b"[%b]" % (b" " * size))


@given(st.lists(STEP, max_size=40))
@example([("remember", 0, "a", 600), ("remember", 1, "b", 600), ("close", 0, "", 0),
          ("remember", 0, "a", 1), ("remember", 1, "b", 600)])  # fmt: skip
def test_sessions_remember_what_the_model_says_within_their_budget(
    steps: list[tuple[str, int, str, int]],
) -> None:
    memory = Memory()
    sessions = [Session(memory, BUDGET) for _ in range(4)]
    held: list[tuple[str, int] | None] = [None] * 4
    closed = [False] * 4
    for kind, which, name, size in steps:
        session = sessions[which]
        if kind in ("remember", "elsewhere"):
            arrays = context(name, size) if kind == "remember" else None
            session.remember(Remembered(name, arrays, size, stored=arrays is None))
            held[which] = None
            taken = sum(map(len, arrays or ()))
            if not closed[which] and sum(each[1] for each in held if each) + taken <= BUDGET:
                held[which] = (name, taken)
        elif kind == "evict":
            session.evict(name)
            if (found := held[which]) is not None and found[0] == name:
                held[which] = None
        else:
            session.close()
            closed[which], held[which] = True, None
        assert memory.used == sum(each[1] for each in held if each) <= BUDGET
        for each, kept in zip(sessions, held, strict=True):
            for other in ("a", "b", "c"):
                known = kept is not None and kept[0] == other
                assert (each.recall(other) is not None) == known
                assert (each.item(f"item-{other}") is not None) == (known and kept[1] > 0)  # type: ignore[index]
    for session in sessions:
        session.close()
    assert memory.used == 0
