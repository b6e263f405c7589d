from .catalogue import Entry as Entry
from .catalogue import catalogue as catalogue
from .catalogue import reproduce as reproduce
from .claims import Claim as Claim
from .claims import Finding as Finding
from .claims import Paper as Paper
from .claims import Reproduction as Reproduction
from .claims import claim as claim
