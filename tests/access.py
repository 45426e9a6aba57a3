"""Who may open which address. A route that is missing here fails the matrix test.

A line: the route's name, who may (open, own for every signed-in person, or the least role), and what its key is of.
`paused` at the end: people whose work is paused may as well.
"""

PAGES = """
set_language open
account_login open
account_logout own
account_inactive open
account_signup open
account_reauthenticate own
account_email own
account_email_verification_sent open
account_change_password own
account_set_password own
account_reset_password open
account_confirm_login_code open
account_confirm_email open
account_reset_password_from_key_done open
account_reset_password_from_key open
account_reset_password_done open
mfa_index own
mfa_authenticate open
mfa_reauthenticate own
mfa_activate_totp own
mfa_deactivate_totp own
mfa_view_recovery_codes own
mfa_generate_recovery_codes own
mfa_download_recovery_codes own
deployment-health-show open
deployment-metrics-show open
labeling-project-list own
labeling-project-create own
labeling-invitation-accept open
labeling-project-home contractor
labeling-project-edit admin
labeling-search reviewer
labeling-search-counts reviewer
labeling-people-list admin
labeling-invitation-create admin
labeling-people-export admin
labeling-member-show admin member
labeling-member-change admin member
labeling-rate-set admin member
labeling-languages-set admin member
labeling-member-remove admin member
labeling-member-standing admin member
labeling-invitation-revoke admin invitation
labeling-webhook-list admin
labeling-webhook-show admin webhook
labeling-webhook-delete admin webhook
labeling-webhook-test admin webhook
labeling-delivery-again admin delivery
labeling-audit-list admin
labeling-audit-csv admin
labeling-audit-jsonl admin
labeling-instructions-show contractor
labeling-instructions-publish admin
labeling-instructions-acknowledge contractor
labeling-instructions-diff contractor
labeling-qualification-show contractor paused
labeling-qualification-retry contractor
labeling-gold-list admin
labeling-gold-rules admin
labeling-gold-edit admin task
labeling-gold-unmark admin gold
labeling-grade-next reviewer
labeling-grade-show reviewer gold_answer
labeling-grade-skip reviewer gold_answer
labeling-task-next contractor
labeling-task-write contractor task
labeling-task-submit contractor task paused
labeling-draft-save contractor task paused
labeling-draft-preview contractor task
labeling-draft-switch contractor task
labeling-draft-discard contractor task
labeling-lease-extend contractor task paused
labeling-task-release contractor task
labeling-task-resume contractor task
labeling-task-skip contractor task
labeling-submission-list contractor
labeling-submission-revise contractor submission
labeling-submission-withdraw contractor submission
labeling-task-list admin
labeling-task-add admin
labeling-task-retire admin task
labeling-task-take-away admin task
labeling-skip-list admin
labeling-skip-decide admin task
labeling-submission-export reviewer
labeling-review-next reviewer
labeling-review-submission reviewer submission
labeling-review-skip reviewer submission
labeling-review-draft reviewer submission
labeling-review-undo reviewer submission
labeling-comment-add contractor submission
labeling-case-list reviewer
labeling-case-next reviewer
labeling-case-show contractor case
labeling-case-claim reviewer case
labeling-case-release reviewer case
labeling-case-dismiss reviewer case
labeling-case-draft reviewer case
labeling-case-correct reviewer case
labeling-case-severity reviewer case
labeling-case-assign reviewer case
labeling-case-reopen reviewer case
labeling-case-merge reviewer case
labeling-case-unmerge reviewer case
labeling-reason-list admin
labeling-reason-change admin reason
labeling-example-list reviewer
labeling-example-retract admin example
labeling-comparison-next contractor
labeling-comparison-vote contractor comparison
labeling-comparison-draft contractor comparison
labeling-comparison-lease contractor comparison
labeling-comparison-skip contractor comparison
labeling-comparison-list admin
labeling-comparison-import admin
labeling-comparison-pair admin
labeling-comparison-show admin comparison
labeling-judging-edit admin
labeling-second-review-next reviewer
labeling-second-review-judge reviewer second
labeling-second-review-skip reviewer second
labeling-disagreement-list admin
labeling-disagreement-settle admin disagreement
labeling-agreement-show reviewer
labeling-agreement-refresh admin
training-project-summary admin
training-submission-uses contractor
labeling-bulk-show reviewer bulk
labeling-bulk-stop reviewer bulk
labeling-bulk-undo reviewer bulk
labeling-bulk-run reviewer bulk_kind
labeling-prompt-import-list admin
labeling-prompt-import-show admin import
labeling-prompt-import-change admin import
training-dataset-list admin
training-dataset-create admin
training-dataset-compose admin
training-dataset-show admin dataset
training-dataset-download admin dataset
training-example-import-list admin
training-example-import-show admin example_import
training-example-import-change admin example_import
training-export-list admin dataset
training-export-file admin dataset
training-row-show admin dataset
training-dataset-note admin dataset
training-dataset-diff admin dataset
training-dataset-statistics admin dataset
training-job-list admin
training-job-create admin
training-job-compare admin
training-job-priority admin job
training-job-show admin job
training-job-stream admin job
training-job-preflight admin preflight
training-job-start admin preflight
training-preset-list admin
training-preset-save admin
training-preset-rename admin preset
training-preset-delete admin preset
training-job-cancel admin job
training-job-tensorboard admin job
training-job-pause admin job
training-job-resume admin job
training-checkpoint-model admin checkpoint
training-model-list reviewer
training-model-lineage reviewer model_pk
training-model-download admin model_pk
training-model-gguf admin model_pk
training-base-model-default admin
training-base-model-list own
training-base-model-add own
training-base-model-show own base_model
training-base-model-edit own base_model
training-base-model-pull own base_model
training-base-model-cancel own base_model
training-evaluation-list reviewer
training-evaluation-create admin
training-evaluation-show reviewer evaluation
training-evaluation-download reviewer evaluation
training-evaluation-card reviewer
training-benchmark-list reviewer
training-benchmark-add admin
training-benchmark-remove admin benchmark
training-gate-edit admin
training-suite-list admin
training-suite-remove admin suite
training-evaluation-cancel admin evaluation
training-evaluation-compare admin evaluation
deployment-chat-show contractor
deployment-conversation-show contractor conversation
deployment-chat-send contractor
deployment-answer-show contractor completion
deployment-answer-regenerate contractor completion
deployment-answer-rate contractor completion
deployment-answer-report contractor completion
deployment-case-draft reviewer case
deployment-report-list contractor
deployment-completion-list reviewer
deployment-completion-show reviewer completion
deployment-completion-why reviewer completion
deployment-log-edit admin
deployment-log-export reviewer
deployment-release-show admin
deployment-release-deploy admin
deployment-release-roll-back admin
deployment-candidate-step admin
deployment-release-rules admin
deployment-shadow-list reviewer
deployment-shadow-judge reviewer shadow
deployment-project-summary admin
deployment-detector-edit admin
deployment-monitoring-show reviewer
deployment-alert-list reviewer
deployment-alert-rules admin
deployment-alert-silence admin
deployment-alert-take reviewer alert
deployment-engine-list admin
deployment-engine-add admin
deployment-engine-edit admin engine
deployment-engine-delete admin engine
deployment-engine-serve admin engine
deployment-engine-stop admin served
deployment-judge-edit admin
deployment-judge-result reviewer evaluation
deployment-lineage-show reviewer
deployment-retraction-list admin
deployment-retraction-show admin retraction
deployment-retraction-undo admin retraction
deployment-retraction-retrain admin retraction
deployment-retraction-person admin member
deployment-key-list admin
deployment-key-create admin
deployment-key-revoke admin key
deployment-cycle-list admin
deployment-cycle-policy admin
deployment-cycle-start admin
deployment-cycle-show admin cycle
deployment-cycle-cancel admin cycle
"""

# /v1: what the name in the address is of. `any` marks what every key of the project may read.
WIRE = """
v1/files
v1/files/<path:name>/content file
v1/files/<path:name> file
v1/fine_tuning/jobs
v1/fine_tuning/jobs/<str:name> job
v1/fine_tuning/jobs/<str:name>/cancel job
v1/fine_tuning/jobs/<str:name>/pause job
v1/fine_tuning/jobs/<str:name>/resume job
v1/fine_tuning/jobs/<str:name>/events job
v1/fine_tuning/jobs/<str:name>/checkpoints job
v1/fine-tunes
v1/fine-tunes/<str:name> legacy
v1/fine-tunes/<str:name>/cancel legacy
v1/fine-tunes/<str:name>/events legacy
v1/models any
v1/models/<path:name> model any
v1/engines any
v1/engines/<path:name>/completions
v1/engines/<path:name> model any
v1/chat/completions
v1/chat/completions/<str:name> completion
v1/chat/completions/<str:name>/messages completion
v1/completions
v1/batches
v1/batches/<str:name> batch
v1/batches/<str:name>/cancel batch
v1/feedback
v1/feedback/<str:completion_id> completion
"""


def table(text: str) -> dict[str, list[str]]:
    """Return the words behind each route's name."""
    return {line.split()[0]: line.split()[1:] for line in text.strip().splitlines()}


# /api/v1: the least role by method, and what the key in the address is of.
API = """
api-project-list GET:own
api-project GET:contractor
api-audit GET:admin
api-instructions GET:contractor POST:admin
api-instructions-acknowledge POST:contractor version
api-people GET:admin
api-people-export GET:admin
api-invitations GET:admin POST:admin
api-invitation-revoke POST:admin invitation
api-member-rates GET:admin POST:admin member
api-member-languages PUT:admin member
api-member-qualification POST:admin member
api-settings GET:admin PATCH:admin
api-reasons GET:contractor POST:admin
api-reason PUT:admin reason
api-webhooks GET:admin POST:admin
api-webhook GET:admin PUT:admin DELETE:admin webhook
api-webhook-test POST:admin webhook
api-deliveries GET:admin webhook
api-delivery-again POST:admin delivery
api-standing GET:contractor
api-standing-retry POST:contractor
api-qualification GET:admin PUT:admin
api-gold GET:admin
api-gold-mark PUT:admin task
api-gold-unmark POST:admin gold
api-grade-next POST:reviewer
api-grade POST:reviewer gold_answer
api-grade-skip POST:reviewer gold_answer
api-bulk-run POST:reviewer
api-bulk GET:reviewer bulk
api-bulk-stop POST:reviewer bulk
api-bulk-undo POST:reviewer bulk
api-prompt-imports GET:admin POST:admin
api-prompt-import GET:admin import
api-prompt-import-start POST:admin import
api-prompt-import-cancel POST:admin import
api-prompt-import-undo POST:admin import
api-prompt-import-read POST:admin import
api-tags GET:reviewer
api-tasks-aside GET:admin
api-task-tag POST:admin task
api-task-untag POST:admin task
api-task-resume POST:contractor task
api-member-role POST:admin member
api-member-pause POST:admin member
api-member-resume POST:admin member
api-member-remove POST:admin member
api-base-models GET:admin
api-base-model GET:admin base_slug
api-jobs GET:admin POST:admin
api-job-compare GET:admin
api-job GET:admin job
api-job-preflight GET:admin preflight
api-job-start POST:admin preflight
api-job-pause POST:admin job
api-job-resume POST:admin job
api-job-cancel POST:admin job
api-job-retry POST:admin job
api-job-priority POST:admin job
api-job-events GET:admin job
api-job-metrics GET:admin job
api-job-checkpoints GET:admin job
api-job-checkpoint-model POST:admin checkpoint
api-models GET:reviewer
api-model GET:reviewer model_pk
api-model-download GET:admin model_pk
api-model-gguf GET:admin model_pk
api-job-tensorboard GET:admin job
api-datasets GET:admin POST:admin
api-dataset-preview POST:admin
api-evaluations GET:reviewer POST:admin
api-evaluation GET:reviewer evaluation
api-evaluation-cancel POST:admin evaluation
api-cycles GET:admin POST:admin
api-cycle-policy GET:admin PATCH:admin
api-cycle GET:admin cycle
api-cycle-cancel POST:admin cycle
api-deployment GET:admin PATCH:admin
api-deployment-changes GET:admin
api-deployment-live POST:admin
api-deployment-candidate POST:admin
api-deployment-promote POST:admin
api-deployment-withdraw POST:admin
api-deployment-roll-back POST:admin
api-alerts GET:reviewer
api-alert-take POST:reviewer alert
api-alert-rules GET:admin
api-alert-rule PATCH:admin measure
api-alert-silence POST:admin measure
api-dataset GET:admin dataset
api-dataset-note POST:admin dataset
api-dataset-rows GET:admin dataset
api-dataset-row GET:admin dataset
api-dataset-diff GET:admin dataset
api-lineage GET:reviewer
api-member-lineage GET:admin member
api-member-retract POST:admin member
api-retractions GET:admin
api-retraction GET:admin retraction
api-retraction-undo POST:admin retraction
api-retraction-retrain POST:admin retraction
api-dataset-exports GET:admin dataset
api-dataset-export GET:admin POST:admin dataset
api-tasks GET:admin POST:admin
api-task-next POST:contractor
api-task GET:contractor task
api-task-renew POST:contractor task
api-task-release POST:contractor task
api-task-skip POST:contractor task
api-task-retire POST:admin task
api-task-return POST:admin task
api-task-take-away POST:admin task
api-draft-switch POST:contractor task
api-task-draft GET:contractor PUT:contractor DELETE:contractor task
api-task-submit POST:contractor task
api-submissions GET:contractor
api-submission-export GET:reviewer
api-submission GET:contractor submission
api-submission-revise POST:contractor submission
api-submission-withdraw POST:contractor submission
api-comments GET:contractor POST:contractor submission
api-review-next POST:reviewer
api-review POST:reviewer submission
api-review-release POST:reviewer submission
api-review-undo POST:reviewer submission
api-cases GET:contractor POST:contractor
api-case-next POST:reviewer
api-case GET:contractor case
api-case-reports GET:contractor case
api-case-near GET:reviewer case
api-case-draft GET:reviewer PUT:reviewer case
api-case-claim POST:reviewer case
api-case-release POST:reviewer case
api-case-correct POST:reviewer case
api-case-dismiss POST:reviewer case
api-case-reopen POST:reviewer case
api-case-merge POST:reviewer case
api-case-unmerge POST:reviewer case
api-case-assign POST:reviewer case
api-case-severity POST:reviewer case
api-presets GET:admin POST:admin
api-preset GET:admin PATCH:admin DELETE:admin preset
api-examples GET:reviewer
api-example-retract POST:admin example
api-example-tag POST:admin example
api-example-untag POST:admin example
api-comparisons GET:admin POST:admin
api-comparison-pair POST:admin
api-comparison GET:admin comparison
api-comparison-retire POST:admin comparison
api-comparison-restore POST:admin comparison
api-judging GET:admin PUT:admin
api-second-review-next POST:reviewer
api-second-review-judge POST:reviewer second
api-second-review-skip POST:reviewer second
api-disagreements GET:admin
api-disagreement-settle POST:admin disagreement
api-agreement GET:reviewer
api-agreement-refresh POST:admin
api-comparison-next POST:contractor
api-comparison-vote POST:contractor comparison
api-comparison-skip POST:contractor comparison
"""
# One body in which every operation finds what it asks for.
_TURNS = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]
BODY = {
    "role": "contractor",
    "reason": "other",
    "comment": "Because.",
    "messages": _TURNS,
    "prompts": [_TURNS[:1]],
    "revision": 0,
    "text": "Another answer.",
    "verdict": "accept",
    "assignee": None,
    "severity": 1,
    "choice": "same",
    "wrong_output": "Nobody.",
    "based_on": 0,
    "name": "Another preset",
    "note": "The first.",
    "model": "nobody",
    "priority": 1,
    "hours": 8,
    "stage": "shadow",
    "live": "nobody",
    "dataset_version": 1,
    "rows": "cases",
    "what": "severity",
    "value": "2",
    "matching": {},
    "amount": "2.50",
    "unit": "piece",
    "languages": ["en", "zh"],
    "qualification": "qualified",
    "reference": "Two.",
    "label": "Impolite",
    "url": "https://example.org/hook",
    "events": ["case.opened"],
    "is_active": True,
    "is_accepted": True,
    "settlement": "kept",
    "encoding": "utf-8",
    "helpful": 5,
    "truthful": 5,
    "harmless": 5,
    "follows": 5,
    "n_qualification": 0,
    "qualification_threshold": 5,
    "n_retries": 1,
    "n_graders": 1,
    "gold_percent": 0,
    "pauses_below_threshold": False,
    "comparisons": [{"messages": _TURNS[:1], "answer_a": "Me.", "answer_b": "You."}],
    "n_comparison_people": 1,
    "needs_comparison_reason": False,
    "second_review_share": 0,
}
