from .advice import advise as advise
from .recommendation import Advice as Advice
