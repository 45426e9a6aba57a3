from django import template

from training.languages import language_name

register = template.Library()
register.filter("language_name", language_name)
