from .adam_advice import AdamAdvice as AdamAdvice
from .advice import advise as advise
from .recommendation import Advice as Advice
