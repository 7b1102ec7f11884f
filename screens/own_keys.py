"""The user's own keys, from `config.toml`: checked against the bindings' ids and against each other; all settings as a table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from textual.binding import Binding
from textual.keys import Keys, key_to_character
from textual.theme import BUILTIN_THEMES

from lab.core.config_file import MOST_PROBLEMS, UNICODE, Config, read_config
from lab.core.preferences import read_preferences
from lab.lessons.translation import LANGUAGE, asked_language, languages
from lab.runs.home_folder import home
from screens.about_key import EVERYWHERE
from screens.action_index import all_actions
from screens.base_screen import LabScreen

Places = dict[str, list[tuple[str, str, Binding]]]
"""Of each id the screens and pages where its bindings are, "" for everywhere."""


def _bound() -> Places:
    found: Places = {}
    for binding in Binding.make_bindings(EVERYWHERE + LabScreen.BINDINGS):
        found.setdefault(binding.id or "", []).append(("", "", binding))
    for action in all_actions():
        found.setdefault(action.id, []).append((action.screen, action.page, action.binding))
    return found


def checked(config: Config) -> tuple[dict[str, str], list[str]]:
    """The keys that can be used, each as Textual names it, by id; and a sentence on each that cannot, and on each clash."""
    bound, keymap, problems = _bound(), dict[str, str](), list[str]()
    for name, there in (("theme", BUILTIN_THEMES), ("language", languages())):
        if (value := config.settings.get(name)) and value not in there:
            problems.append(config.unknown(name, value, there, at=name))
    for id, keys in config.keys.items():
        if len(problems) == MOST_PROBLEMS:
            break
        if id not in bound:
            problems.append(config.unknown("action", id, bound))
            continue
        named = [each.key for each in Binding.make_bindings([Binding(keys.strip(", "), "", "")])]
        if wrong := next((key for key in named if not _is_key(key)), ""):
            problems.append(config.unknown("key", wrong, [each.value for each in Keys], at=id))
        else:
            keymap[id] = ",".join(named)
    for id, keys in keymap.items():
        for key in keys.split(","):
            if other := next(_others(bound, keymap, id, key), None):
                problems.append(f"{config.at(id)}: {key} is also the key of {other.id}, “{other.tooltip}”; choose another.")
    return keymap, problems


def _is_key(key: str) -> bool:
    *modifiers, base = key.split("+") if key != "+" else [key]
    known = key_to_character(base) is not None or base in {each.value for each in Keys}
    return known and set(modifiers) <= {"ctrl", "shift", "alt", "super", "hyper", "meta"}


def _others(bound: Places, keymap: dict[str, str], id: str, key: str) -> Iterator[Binding]:
    """Bindings of other actions that have the key where an action can be used."""
    for other, places in bound.items():
        for screen, page, binding in places if other != id else ():
            if key in keymap.get(other, binding.key).split(","):
                for its_screen, its_page, _ in bound[id]:
                    if "" in (screen, its_screen) or (screen == its_screen and (page == its_page or "" in (page, its_page))):
                        yield binding


def settings_table() -> tuple[list[tuple[str, str, str]], list[str]]:
    """Name, value and meaning of every setting as it is now, and the file's problems."""
    config, preferences = read_config(home()), read_preferences(home())[0]
    (keymap, problems), own = checked(config), config.settings
    tongue = asked_language(os.environ) or own.get("language") or preferences.language or "en"
    rows = [
        ("theme", own.get("theme") or preferences.theme or "(the lab's)", "the lab's colours"),
        ("language", tongue, f"of Learn; {LANGUAGE} wins"),
        ("unicode", os.environ.get(UNICODE, "(as the locale says)"), f"false: ASCII marks; {UNICODE}, 1 or 0, wins"),
    ]
    for id, places in _bound().items():
        keys = keymap.get(id) or ",".join(dict.fromkeys(binding.key for *_, binding in places))
        rows.append((f"keys.{id}", re.sub(r"^keyless\..*", "(none)", keys), places[0][2].tooltip or places[0][2].description))
    return rows, [*config.problems, *problems]
