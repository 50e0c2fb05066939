"""The blueprints of the reference engine's own examples, with stubs for their language models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conformance.case import Case, Json

from famulus.nodes import Result

FOLDER = Path(__file__).parents[2] / "fixtures" / "flowcraft"


def example(blueprint_id: str) -> Json:
    return {"id": blueprint_id, **json.loads((FOLDER / f"{blueprint_id}.json").read_text(encoding="utf-8"))}


async def inputs_of(ctx: Any) -> str:
    """`params.inputs` names context keys; of a list of them the first that is there."""
    found = []
    for name, keys in sorted(ctx.params["inputs"].items()):
        values = [await ctx.get(key) for key in ([keys] if isinstance(keys, str) else keys) if await ctx.has(key)]
        found.append(f"{name}={values[0]}" if values else f"{name}?")
    return "[" + " ".join(found) + "]"


async def answers(ctx: Any) -> Result:
    answer = await ctx.get("answer")
    return Result(output=answer, action=answer)


async def puts_out(ctx: Any) -> str:
    text = await inputs_of(ctx)
    await ctx.set(ctx.params.get("outputKey", "final_output"), text)
    return text


STUBS = {"llm-process": inputs_of, "llm-condition": answers, "llm-router": answers, "output": puts_out}


def of_example(blueprint_id: str, *children: str, claim: str, initial: Json, **expect: Any) -> Case:
    return Case(
        claim=claim,
        spec="design.md, Compatibility: Flowcraft blueprints load unchanged",
        blueprint=example(blueprint_id),
        nodes=STUBS,
        children={child: example(child) for child in children},
        initial=initial,
        expect={"status": "completed", "errors": [], "counts": {}, **expect},
    )


REVIEW = {"initial_review": "R"}
POST = {"userPost": "P", "userId": "U"}
CHECKS = ["check_for_hate_speech", "check_for_pii", "check_for_spam", "final_log", "triage_post"]
ENDS = ["approve_post_branch", "ban_user_branch", "delete_spam_branch", "redact_post_branch"]

CASES = [
    of_example(
        "100",
        claim="a chain of prompts",
        initial={"topic": "T"},
        outputs={
            "generate_outline": "[topic=T]",
            "draft_post": "[outline=[topic=T]]",
            "suggest_titles": "[draft=[outline=[topic=T]]]",
            "final_output": "[draft=[outline=[topic=T]] titles=[draft=[outline=[topic=T]]]]",
        },
        context={"topic": "T"},
    ),
    *(
        of_example(
            "200",
            "201",
            "202",
            claim=f"an applicant who is told {answer}",
            initial={"resume": "R", "coverLetter": "L", "applicantName": "Ada", "answer": answer},
            executed=sorted(["analyze_tone", "check_qualifications", "extract_skills", "final_output", taken]),
            skipped=[other],
            children={child: {"status": "completed", "context": {"applicantName": "Ada", "final_output": letter}}},
        )
        for answer, taken, other, child, letter in (
            ("true", "send_interview_email", "send_rejection_email", "201", "[result=[applicantName=Ada]]"),
            ("false", "send_rejection_email", "send_interview_email", "202", "[result=[applicantName=Ada]]"),
        )
    ),
    of_example(
        "300",
        "301",
        "302",
        claim="a review that is good",
        initial={**REVIEW, "answer": "true"},
        executed=["categorize", "check_sentiment", "final_step", "positive_branch", "summarize"],
        skipped=["negative_branch", "send_email_to_customer", "send_to_ticketing_system"],
        context={
            **REVIEW,
            "answer": "true",
            "final_positive_reply": "[result=[summary=[review=R]]]",
            "final_output": "[email_action? positive_result=[result=[summary=[review=R]]] ticket_action?]",
        },
    ),
    of_example(
        "300",
        "301",
        "302",
        claim="a review that is bad",
        initial={**REVIEW, "answer": "false"},
        executed=[
            "categorize",
            "check_sentiment",
            "final_step",
            "negative_branch",
            "send_email_to_customer",
            "send_to_ticketing_system",
            "summarize",
        ],
        skipped=["positive_branch"],
        context_has={
            "generated_ticket": "[result=[category=[review=R] summary=[review=R]]]",
            "generated_reply": "[result=[summary=[review=R]]]",
        },
        context_without=["final_positive_reply", "ticket_payload", "customer_message"],
    ),
    *(
        of_example(
            "400",
            "401",
            "402",
            "403",
            claim=f"a post on which the verdict is {answer}",
            initial={**POST, "answer": answer},
            executed=sorted([*CHECKS, taken]),
            skipped=sorted(set(ENDS) - {taken}),
            context_has={"final_output": shown},
        )
        for answer, taken, shown in (
            (
                "action_ban",
                "ban_user_branch",
                "[final_action_taken=[db_update=[userId=U] log_entry=[reason=[userPost=P] userId=U]]]",
            ),
            (
                "action_redact",
                "redact_post_branch",
                "[final_action_taken=[redacted_post=[userPost=P] warning_message=[userId=U]]]",
            ),
            ("action_delete_spam", "delete_spam_branch", "[final_action_taken=[result=[userId=U]]]"),
            ("action_approve", "approve_post_branch", "[final_action_taken=[userId=U]]"),
        )
    ),
]
