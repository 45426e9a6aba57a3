"""What a client asks of a job, in its present and in its legacy form, as one JobRequest."""

from typing import Any

from common.wire import WireError
from common.wire_params import Params
from labeling.models import ApiKey, Project
from training.actions.errors import BadHyperparameter, BaseModelNotReady, FileRefused, LeakedProbe, TooLittleMemory
from training.actions.wire_job import MAX_SEED, JobRequest, create_wire_job
from training.models import BaseModel, File, Job, TunedModel
from training.queries import find_base_model
from training.states import FilePurpose, JobMethod

METHODS = {"supervised": JobMethod.SFT, "dpo": JobMethod.DPO}
HYPERPARAMETERS = ("n_epochs", "batch_size", "learning_rate_multiplier")
DPO_HYPERPARAMETERS = ("beta", "sft_weight")
CLASSIFICATION = (
    "compute_classification_metrics",
    "classification_n_classes",
    "classification_positive_class",
    "classification_betas",
)
MAX_SUFFIX, LEGACY_MAX_SUFFIX = 64, 40
MAX_INTEGRATIONS = 5
LEGACY_MODEL, LEGACY_EPOCHS = "curie", 4


def read_job(params: Params, project: Project) -> JobRequest:
    """Return what a request of the present form asks for. Raises WireError."""
    model = params.text("model", most=200)
    base_model, parent = find_model(project, model)
    method = params.inner("method")
    kind = method.text("type") if "method" in params else "supervised"
    if kind not in METHODS:
        raise method.refuse("type", f"{kind[:40]!r} is not served, only {' and '.join(METHODS)}")
    if others := [name for name in method.names() if name not in ("type", kind) and name in method]:
        raise method.refuse(others[0], f"does not belong to the type {kind}")
    names = (*HYPERPARAMETERS, *DPO_HYPERPARAMETERS) if kind == "dpo" else HYPERPARAMETERS
    places = [params.inner("hyperparameters"), method.inner(kind).inner("hyperparameters")]  # the second one wins
    hyperparameters = {name: place.raw(name) for place in places for name in known_names(place, names)}
    suffix = read_suffix(params, MAX_SUFFIX)
    words = {
        "model": model,
        "suffix": suffix or None,
        "method": {"type": kind},
        "integrations": _integrations(params),
    }
    return JobRequest(
        training_file=read_file(params, "training_file", project),
        validation_file=read_file(params, "validation_file", project) if "validation_file" in params else None,
        base_model=base_model,
        parent=parent,
        suffix=suffix,
        method=METHODS[kind],
        hyperparameters=hyperparameters,
        seed=params.whole("seed", None, least=0, most=MAX_SEED),
        metadata=params.metadata(),
        words=words,
    )


def known_names(params: Params, names: tuple[str, ...]) -> list[str]:
    """Return the hyperparameters that are given. One that is not served would be a run that nobody has asked for: refused."""
    given = [name for name in params.names() if name in params]
    for name in given:
        if name not in names:
            raise params.refuse(name, f"not served with this method, only {', '.join(names)}", code="unknown_parameter")
    return given


def read_fine_tune(params: Params, project: Project) -> JobRequest:
    """Return what a legacy request asks for. Raises WireError."""
    model = params.text("model", LEGACY_MODEL, most=200) or LEGACY_MODEL
    base_model, parent = find_model(project, model)
    suffix = read_suffix(params, LEGACY_MAX_SUFFIX)
    weight = params.number("prompt_loss_weight", None, least=0, most=1)
    asked: dict[str, Any] = {"prompt_loss_weight": weight} if weight is not None else {}
    if params.flag("compute_classification_metrics"):
        if "validation_file" not in params:
            raise params.refuse("compute_classification_metrics", "needs a validation_file")
        if "classification_n_classes" not in params and "classification_positive_class" not in params:
            raise params.refuse(
                "compute_classification_metrics", "needs classification_n_classes or classification_positive_class"
            )
    params.whole("classification_n_classes", None, least=2, most=10_000)
    params.text("classification_positive_class", "", most=1000)
    betas = params.raw("classification_betas")
    if betas is not None and not (isinstance(betas, list) and len(betas) <= 16 and all(map(_is_number, betas))):
        raise params.refuse("classification_betas", "expected a list of numbers")
    asked |= {name: params.raw(name) for name in CLASSIFICATION if name in params}
    epochs = params.raw("n_epochs")
    return JobRequest(
        training_file=read_file(params, "training_file", project),
        validation_file=read_file(params, "validation_file", project) if "validation_file" in params else None,
        base_model=base_model,
        parent=parent,
        suffix=suffix,
        hyperparameters={
            "n_epochs": LEGACY_EPOCHS if epochs is None else epochs,
            "batch_size": params.raw("batch_size"),
            "learning_rate_multiplier": params.raw("learning_rate_multiplier"),
        },
        words={"model": model, "suffix": suffix or None, "hyperparams": asked},
        is_legacy=True,
        without_effect=tuple(name for name, value in asked.items() if value),
    )


def create(request: JobRequest, key: ApiKey) -> Job:
    """Create the job; what is refused becomes a WireError."""
    place = "" if request.is_legacy else "hyperparameters."
    for name, value in request.hyperparameters.items():
        if value is not None and value != "auto" and not _is_number(value):
            raise WireError(f"Invalid '{name}': expected \"auto\" or a number.", param=f"{place}{name}")
    try:
        return create_wire_job(request=request, by=key.user)
    except BadHyperparameter as error:
        raise WireError(f"Invalid '{error.field}': {error}", param=f"{place}{error.field}") from error
    except TooLittleMemory as error:
        raise WireError(str(error), param="model") from error
    except BaseModelNotReady as error:
        raise _no_model(str(request.words["model"])) from error
    except FileRefused as error:
        raise WireError(str(error), param=error.field, code="invalid_file_format") from error
    except LeakedProbe as error:
        raise WireError(str(error), param="training_file", code="invalid_training_file") from error


def find_model(project: Project, name: str) -> tuple[BaseModel, TunedModel | None]:
    """Return the base model, and the fine-tuned model to go on from where the name is one. Raises WireError."""
    parent = TunedModel.objects.filter(project=project).named(name).select_related("base_model").first()
    base_model = parent.base_model if parent else find_base_model(name)
    if base_model is None:
        raise _no_model(name)
    return base_model, parent


def read_file(params: Params, name: str, project: Project) -> File:
    """Return the file that a field names. Raises WireError."""
    text = params.text(name, most=200)
    file = File.objects.live().filter(project=project, key=text).select_related("project").first()
    if file is None or not file.is_there:
        raise WireError(f"invalid {name}: {text}", param=name)
    if file.purpose != FilePurpose.FINE_TUNE:
        raise WireError(f"invalid {name}: {text} has the purpose '{file.purpose}', not 'fine-tune'", param=name)
    return file


def read_suffix(params: Params, most: int) -> str:
    suffix = params.text("suffix", "", most=100_000)
    if len(suffix) > most:
        raise WireError(f"'{suffix[:100]}' is too long - 'suffix'", param="suffix")
    return suffix


def _integrations(params: Params) -> list[dict[str, Any]]:
    value = params.raw("integrations")
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_INTEGRATIONS:
        raise params.refuse("integrations", f"expected a list of at most {MAX_INTEGRATIONS}")
    for index, each in enumerate(value):
        found = each.get("wandb") if isinstance(each, dict) and each.get("type") == "wandb" else None
        if not isinstance(found, dict) or not isinstance(found.get("project"), str):
            raise params.refuse(f"integrations[{index}]", "expected the type wandb with its project")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_model(name: str) -> WireError:
    message = f"Model {name} is not available for fine-tuning or does not exist."
    return WireError(message, param="model", code="model_not_available")
