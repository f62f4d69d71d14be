"""The one room that speaks to language models, by the OpenAI chat protocol."""

from common.adapters.openai_advisor.advisor import OpenAIAdvisor
from common.adapters.openai_advisor.models import ModelCapability, StructuredMode, model_capability
from common.adapters.openai_advisor.prompts import PROMPTS, PromptProfile, prompt_profile
from common.adapters.openai_advisor.shared import SharedAdvisor, SharingPolicy

__all__ = [
    "PROMPTS",
    "ModelCapability",
    "OpenAIAdvisor",
    "PromptProfile",
    "SharedAdvisor",
    "SharingPolicy",
    "StructuredMode",
    "model_capability",
    "prompt_profile",
]
