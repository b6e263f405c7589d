from .page import page as page
from .page import write_page as write_page
from .translate import to_javascript as to_javascript
