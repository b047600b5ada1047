"""The rules of the blocks: the test that runs, type-checks or parses each of them."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from tests.docs.blocks import ROOT, Block, blocks
from tests.docs.frames import FRAMES

Kind = Literal["run", "type-checked", "parsed"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Rule(NamedTuple):
    """The test of a block, and what it does with it."""

    kind: Kind
    test: str


HERE = "tests/docs/test_blocks.py"
FRAMED = Rule("type-checked", f"{HERE}::test_the_parts_of_programs_are_typed")
COMMANDS = Rule("parsed", f"{HERE}::test_each_command_exists_and_has_these_options")
BY_LANGUAGE = {
    "bash": COMMANDS,
    "console": COMMANDS,
    "csharp": Rule("parsed", f"{HERE}::test_a_program_in_another_language_can_be_read"),
    "dockerfile": Rule("parsed", f"{HERE}::test_a_dockerfile_has_known_instructions_and_installs_known_extras"),
    "json": Rule("parsed", f"{HERE}::test_json_can_be_read"),
    "mermaid": Rule(
        "parsed", "tests/docs/test_site.py::test_each_diagram_has_its_picture_and_each_picture_its_diagram"
    ),
    "py": Rule("parsed", "tests/docs/test_moving.py::test_the_programs_of_other_tools_can_be_parsed"),
    "sh": COMMANDS,
}
"""The rules of languages. Blocks of other languages need a line below, as do Python and commands with their output."""
NAMED: dict[Kind, dict[str, list[str]]] = {
    "type-checked": {
        "tests/docs/test_docs.py::test_the_readmes_programs_are_checked_by_mypy": [
            "README.md python 1",
            "README.md python 4",
        ],
        "tests/commands/test_commands_page.py::test_the_programs_of_the_page_are_checked_by_mypy": [
            "docs/commands.md python 2",
            "docs/commands.md python 3",
        ],
        "tests/outbox/test_outbox_page.py::test_the_parts_of_programs_are_checked_by_mypy": [
            "docs/outbox.md python 2",
            "docs/outbox.md python 4",
        ],
    },
    "run": {
        "tests/docs/test_docs.py::test_the_readmes_first_program_prints_the_readmes_text": [
            "README.md python 2",
            "README.md text 1",
        ],
        "tests/docs/test_docs.py::test_the_readmes_second_program_prints_the_readmes_text": [
            "README.md python 3",
            "README.md text 2",
        ],
        **{
            f"tests/actors/test_documentation.py::test_a_program_prints_what_the_page_says[{number}]": [
                f"docs/actors.md python {number + 1}",
                f"docs/actors.md text {number + 1}",
            ]
            for number in range(len(blocks(ROOT / "docs" / "actors.md", "python")))  # it runs whatever the page has
        },
        "tests/docs/test_architecture_page.py::test_the_tree_of_a_worker_is_that_of_the_page": [
            "docs/architecture.md text 1"
        ],
        "tests/docs/test_docs.py::test_the_program_of_the_page_on_clients_runs_beside_a_worker": [
            "docs/clients.md python 1"
        ],
        "tests/commands/test_commands_page.py::test_the_program_of_the_page_prints_its_text": [
            "docs/commands.md python 1",
            "docs/commands.md text 1",
        ],
        "tests/docs/test_deploying_page.py::test_the_page_shows_the_files": [
            "docs/deploying.md ini 1",
            "docs/deploying.md yaml 1",
        ],
        "tests/docs/test_django_page.py": [f"docs/django.md python {number}" for number in range(1, 7)],
        "tests/docs/test_large_values_page.py": ["docs/large-values.md python 1"],
        "tests/docs/test_encryption_page.py": ["docs/encryption.md python 1", "docs/encryption.md python 2"],
        "tests/docs/test_fastapi_page.py::test_the_service_gives_the_answers_of_the_page": [
            "docs/fastapi.md python 1",
            "docs/fastapi.md sh 1",
            "docs/fastapi.md json 1",
        ],
        "tests/repository/test_listing.py::test_the_examples_of_the_page_can_be_read_and_its_mistake_is_explained": [
            "docs/filters.md text 1",
            "docs/filters.md text 2",
        ],
        "tests/docs/test_litestar_page.py::test_the_test_of_the_page_prints_its_text": [
            "docs/litestar.md python 1",
            "docs/litestar.md python 2",
            "docs/litestar.md text 1",
        ],
        "tests/docs/test_moving.py::test_the_saga_holds_a_room_and_frees_it_when_the_card_is_refused": [
            "docs/moving.md python 1"
        ],
        "tests/docs/test_script_pages.py::test_the_cells_of_a_notebook_show_the_sagas_of_a_worker": [
            "docs/notebooks.md python 1",
            "docs/notebooks.md python 2",
            "docs/notebooks.md python 3",
        ],
        "tests/docs/test_script_pages.py::test_a_saga_is_tried_out_in_the_cells_of_a_notebook": [
            "docs/notebooks.md python 4",
            "docs/notebooks.md python 5",
            "docs/notebooks.md python 6",
        ],
        "tests/outbox/test_outbox_page.py::test_the_programs_of_the_page_print_its_texts": [
            "docs/outbox.md python 1",
            "docs/outbox.md text 1",
            "docs/outbox.md python 3",
            "docs/outbox.md text 2",
        ],
        "tests/outbox/test_outbox_page.py::test_the_sql_of_the_page_is_that_of_the_code": [
            "docs/outbox.md sql 1",
            "docs/outbox.md sql 2",
        ],
        "tests/projection/test_projection_killed.py": ["docs/projection.md python 1", "docs/projection.md python 2"],
        "tests/docs/test_quickstart.py::test_the_program_gives_the_answers_of_the_page": [
            "docs/quickstart.md python 1",
            "docs/quickstart.md json 1",
        ],
        "tests/participant/test_remote_page.py::test_the_program_of_the_page_prints_its_text": [
            "docs/remote-steps.md python 1",
            "docs/remote-steps.md python 2",
            "docs/remote-steps.md python 3",
            "docs/remote-steps.md python 4",
            "docs/remote-steps.md text 1",
        ],
        "tests/docs/test_sagas_page.py::test_the_program_without_a_saga_forgets_a_doubt": ["docs/sagas.md python 1"],
        "tests/docs/test_script_pages.py::test_a_script_pays_each_invoice_once_however_often_it_runs": [
            "docs/scripts.md python 1",
            "docs/scripts.md text 1",
        ],
        "tests/security/test_security_page.py::test_a_server_with_the_roles_of_the_page_takes_setup_and_worker": [
            "docs/security.md console 1",
            "docs/security.md conf 1",
            "docs/security.md console 2",
        ],
        "tests/security/test_security_page.py::test_nats_server_reads_the_two_accounts_of_the_page": [
            "docs/security.md console 3"
        ],
        "tests/docs/test_services_page.py::test_the_page_shows_the_saga_without_its_options": [
            "docs/services.md python 1"
        ],
        "tests/docs/test_services_page.py::test_the_page_shows_the_service_as_it_is": ["docs/services.md python 2"],
        "tests/docs/test_services_page.py::test_the_page_shows_each_process_being_killed_and_each_rule_of_the_audit": [
            "docs/services.md text 1"
        ],
        "tests/tracing/test_one_trace.py::test_a_trace_survives_kill_9_and_crosses_two_services": [
            "docs/tracing.md text 1"
        ],
        **{
            f"tests/docs/test_tutorial.py::test_a_page_shows_the_whole_programs[step{step}]": [
                f"docs/tutorial/step{step}.md python {number}" for number in range(1, programs + 1)
            ]
            for step, programs in enumerate((1, 1, 1, 1, 1, 1, 2, 3), 1)
        },
        **{
            f"tests/docs/test_tutorial.py::test_a_program_prints_what_its_page_shows[step{step}]": [
                f"docs/tutorial/step{step}.md text 1"
            ]
            for step in (1, 2, 3, 4, 6)
        },
        "tests/docs/test_tutorial.py::test_the_program_that_waits_prints_what_its_page_shows": [
            "docs/tutorial/step5.md text 1"
        ],
        "tests/docs/test_tutorial_processes.py::test_a_killed_worker_and_the_next_one_print_what_the_page_shows": [
            f"docs/tutorial/step7.md text {number}" for number in range(1, 4)
        ],
        "tests/docs/test_tutorial_processes.py::test_a_participant_and_a_client_print_what_the_page_shows": [
            "docs/tutorial/step8.md text 1"
        ],
        "tests/docs/test_event_recipe.py": ["docs/wire.md python 1"],
        "tests/docs/test_docs.py::test_the_messages_of_the_wire_page_are_understood": [
            "docs/wire.md json 1",
            "docs/wire.md json 2",
        ],
        "tests/docs/test_wire_schemas.py::test_the_messages_on_the_page_fit_their_schemas": [
            "docs/wire.md json 3",
            "docs/wire.md json 4",
            "docs/wire.md json 5",
        ],
        "tests/cli/test_transcript.py::test_an_outage_is_found_mended_and_audited_as_the_page_says[a few]": [
            f"docs/operators.md console {number}" for number in (1, 2, 3)
        ],
        "tests/cli/test_transcript.py::test_an_outage_is_found_mended_and_audited_as_the_page_says[hundreds]": [
            f"docs/operators.md console {number}" for number in (4, 5, 6)
        ],
        "tests/cli/test_jobs.py::test_ctrl_c_leaves_a_job_that_says_how_to_go_on": ["docs/cli.md console 5"],
        "tests/cli/test_watching.py::test_a_family_is_drawn_from_any_of_its_members": ["docs/cli.md text 1"],
        "tests/docs/test_printed.py::test_json_of_the_command_line_has_the_fields_of_the_page": ["docs/cli.md json 1"],
        "tests/participant/test_javascript.py": ["docs/participants.md console 1"],
        "tests/docs/test_printed.py::test_conformance_prints_each_clause_as_its_page_shows": [
            "docs/participants.md console 3"
        ],
        "tests/docs/test_printed.py::test_the_page_on_rebuilding_shows_differences_as_verify_finds_them": [
            "docs/rebuild.md console 1"
        ],
        "tests/cli/test_store_commands.py::test_a_lost_bucket_is_rebuilt_and_planted_differences_are_found": [
            "docs/rebuild.md console 2"
        ],
        "tests/docs/test_printed.py::test_a_saga_that_is_stuck_is_described_as_the_page_has_it": [
            "docs/operators.md text 1"
        ],
        "tests/docs/test_printed.py::test_what_the_page_on_versions_shows_is_raised": [
            "docs/versions.md text 1",
            "docs/versions.md text 2",
        ],
        "tests/docs/test_printed.py::test_the_reference_to_a_large_value_has_the_form_of_the_pages": [
            "docs/wire.md text 1",
            "docs/large-values.md json 1",
        ],
        "tests/docs/test_printed.py::test_explore_prints_what_the_page_on_testing_shows": ["docs/testing.md console 1"],
        "tests/docs/test_printed.py::test_the_doctor_says_what_its_page_shows": ["docs/doctor.md console 1"],
        "tests/docs/test_printed.py::test_contract_diff_prints_what_its_page_shows": ["docs/contracts.md console 2"],
    },
}
"""The tests of single blocks. A block that is named here and does not exist is an error, too."""
_NAMED = {name: Rule(kind, test) for kind, tests in NAMED.items() for test, names in tests.items() for name in names}


def rule_of(block: Block) -> Rule | None:
    """Return the rule of a block, or None if it has none: then it needs a line in NAMED."""
    if block.name in _NAMED:
        return _NAMED[block.name]
    if block.language == "python":
        return FRAMED if block.page in FRAMES else None
    return None if has_output(block) else BY_LANGUAGE.get(block.language)


def has_output(block: Block) -> bool:
    """Return True for commands with what they print, which is more than a parser can judge."""
    lines = block.text.replace("\\\n", "").splitlines()
    return block.language == "console" and any(line and not line.startswith("$ ") for line in lines)


def named() -> set[str]:
    """Return the names of the blocks that have a test of their own."""
    return set(_NAMED)
