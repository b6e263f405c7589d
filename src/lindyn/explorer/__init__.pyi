from .translate import to_javascript as to_javascript
