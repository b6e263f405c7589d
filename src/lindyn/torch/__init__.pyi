from .initialise import lora_init_ as lora_init_
from .initialise import mixed_init_ as mixed_init_
from .tracker import RegimeTracker as RegimeTracker
from .tracker import TrackingWarning as TrackingWarning
